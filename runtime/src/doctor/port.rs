use std::io::ErrorKind;
use std::net::TcpListener;

use super::Check;

const NAME: &str = "port";

/// Whether `port` can be listened on.
pub fn port(port: u16) -> Check {
    match TcpListener::bind(("0.0.0.0", port)) {
        Ok(_) => Check::ok(NAME, format!("{port} is free")),
        Err(e) => {
            let hint = match e.kind() {
                ErrorKind::AddrInUse => "another program, or this one already, listens there; choose another port",
                ErrorKind::PermissionDenied => "ports below 1024 need CAP_NET_BIND_SERVICE; choose a higher one",
                _ => "check the network",
            };
            Check::failed(NAME, format!("{port} cannot be listened on: {e}"), hint)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;

    #[test]
    fn a_taken_port_fails() {
        let taken = TcpListener::bind("0.0.0.0:0").unwrap();
        let number = taken.local_addr().unwrap().port();
        assert_eq!(port(number).status, Status::Failed);
        drop(taken);
        assert_eq!(port(number).status, Status::Ok);
    }
}
