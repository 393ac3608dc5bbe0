//! Services to talk to.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{OnceLock, mpsc};

use rad_dino_edge::engine::Engine;
use rad_dino_edge::model::embedded;
use rad_dino_edge::reader::Reader;
use rad_dino_edge::service::http::{Settings, Worklist, serve};

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

pub fn demo() -> Vec<u8> {
    std::fs::read(root().join("models/demo.png")).unwrap()
}

pub fn edge() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rad-dino-edge"));
    for name in ["RDE_TOKEN", "RDE_TOKEN_FILE", "RDE_CONFIG", "RDE_MODEL"] {
        command.env_remove(name);
    }
    command
}

/// The program on a free port.
pub struct Program {
    pub address: SocketAddr,
    pub child: Child,
    /// What it says after it listens.
    pub log: mpsc::Receiver<String>,
}

impl Program {
    pub fn start(arguments: &[&str]) -> Program {
        let mut command = edge();
        command.arg("serve").args(["--listen", "127.0.0.1:0"]).args(arguments);
        Program::spawn(command)
    }

    pub fn spawn(mut command: Command) -> Program {
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut said = vec![];
        let address = lines.find_map(|line| {
            said.push(line.clone());
            let line: serde_json::Value = serde_json::from_str(&line).ok()?;
            let url = line["url"].as_str().filter(|_| line["event"] == "listening")?;
            Some(url.strip_prefix("http://")?.strip_suffix('/')?.parse::<SocketAddr>().unwrap())
        });
        let mut address = address.unwrap_or_else(|| panic!("it does not listen: {said:?}"));
        if address.ip().is_unspecified() {
            address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        let (send, log) = mpsc::channel();
        std::thread::spawn(move || lines.for_each(|line| drop(send.send(line))));
        Program { address, child, log }
    }

    /// SIGTERM
    pub fn terminate(&self) {
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The service with its default settings that the tests share.
pub fn ordinary() -> SocketAddr {
    static ADDRESS: OnceLock<SocketAddr> = OnceLock::new();
    *ADDRESS.get_or_init(|| within(|_| (), None))
}

/// A service within this process, on a free port, until the process ends.
pub fn within(change: impl FnOnce(&mut Settings), worklist: Option<Box<dyn Worklist>>) -> SocketAddr {
    let mut settings = Settings::new("127.0.0.1:0".parse().unwrap());
    settings.log = false;
    change(&mut settings);
    let reader = Reader::new(Engine::from_bytes(embedded::ENCODER, 1).unwrap(), "embedded").unwrap();
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || serve(reader, settings, worklist, |address| send.send(address).unwrap()).unwrap());
    receive.recv().unwrap()
}

/// stdout of a program that must succeed.
pub fn output(command: &mut Command) -> Vec<u8> {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut bytes = vec![];
    child.stdout.take().unwrap().read_to_end(&mut bytes).unwrap();
    assert!(child.wait().unwrap().success(), "{command:?}");
    bytes
}
