//! A disk that is really full: a small tmpfs, where this user may mount one.
#![cfg(all(feature = "service", feature = "dicom"))]

mod service;

use std::path::{Path, PathBuf};
use std::process::Command;

use rad_dino_edge::service::dimse::Failure;
use service::node::scu;
use service::{Edge, dicom, ended, nothing_lost_or_doubled};

struct Tmpfs(PathBuf);

impl Tmpfs {
    fn mount(path: &Path, megabytes: u32) -> Option<Tmpfs> {
        std::fs::create_dir(path).unwrap();
        let options = format!("size={megabytes}m");
        let output = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(path).output();
        if output.as_ref().is_ok_and(|output| output.status.success()) {
            return Some(Tmpfs(path.to_path_buf()));
        }
        eprintln!("skipped: no tmpfs may be mounted here ({output:?})");
        None
    }

    fn grow(&self, megabytes: u32) {
        let options = format!("remount,size={megabytes}m");
        assert!(Command::new("mount").args(["-o", &options]).arg(&self.0).status().unwrap().success());
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// What was accepted before the disk was full is read when there is room again; what was not was refused with 0xA700.
#[test]
fn a_full_disk_loses_nothing() {
    let here = tempfile::tempdir().unwrap();
    let Some(disk) = Tmpfs::mount(&here.path().join("disk"), 12) else { return };
    let out = disk.0.join("out");
    let more = ["--min-free-mb", "0", "--retry-seconds", "0.1"];
    let mut edge = Edge::listen(&here.path().join("log"), &out, &more);
    let mut peer = scu(edge.port());
    let film = |i: usize| dicom(&format!("1.2.{i}"), i as u32, 700);
    let mut accepted = 0;
    let refused = loop {
        match peer.store(&film(accepted)) {
            Ok(_) => accepted += 1,
            Err(refused) => break refused,
        }
        assert!(accepted < 40, "the disk does not fill");
    };
    assert!(matches!(&refused, Failure::Refused(why) if why.contains("A700")), "{refused}");
    peer.echo().unwrap();
    edge.until("a try without room", |edge| edge.log().contains("\"postponed\"") || edge.log().contains("\"queue\""));
    disk.grow(200);
    edge.until("room", |_| peer.store(&film(accepted)).is_ok());
    edge.until("all films", |_| ended(&out) == accepted + 1);
    nothing_lost_or_doubled(&out, &(0..=accepted).map(|i| format!("1.2.{i}")).collect::<Vec<_>>());
    assert!(edge.stop().success());
}
