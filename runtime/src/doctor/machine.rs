use std::fs;

use rad_dino_kernels::Isa;

use super::Check;

/// The instruction set that runs the model, and what else there is.
pub fn cpu() -> Check {
    const NAME: &str = "cpu";
    let available: Vec<_> = Isa::ALL.into_iter().filter(|isa| isa.is_available()).map(Isa::as_str).collect();
    let has = format!("{}, this CPU has {}", std::env::consts::ARCH, available.join(", "));
    match Isa::from_env() {
        Err(error) => Check::failed(NAME, error.to_string(), "unset RDE_ISA to let the engine choose"),
        Ok(Isa::Scalar) => Check::warning(
            NAME,
            format!("scalar ({has})"),
            "plain code is about ten times slower; it is meant for comparison",
        ),
        Ok(isa) if isa != Isa::detect() => {
            Check::warning(NAME, format!("{isa}, because RDE_ISA says so ({has})"), "unset RDE_ISA for the fastest set")
        }
        Ok(isa) => Check::ok(NAME, format!("{isa} ({has})")),
    }
}

/// `asked` 0 means one per core.
pub fn threads(asked: usize) -> Check {
    const NAME: &str = "threads";
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let found = format!("{} of {cores} cores that this process may use", if asked == 0 { cores } else { asked });
    if asked > cores {
        return Check::warning(NAME, found, "more threads than cores only slow it down");
    }
    Check::ok(NAME, found)
}

/// Memory that is left, by the system's and the container's account.
pub fn memory() -> Check {
    const NAME: &str = "memory";
    const LITTLE_MB: u64 = 600;
    const TOO_LITTLE_MB: u64 = 100;
    let system = fs::read_to_string("/proc/meminfo").ok().and_then(|text| available(&text));
    let container = container();
    let Some(free) = [system, container].into_iter().flatten().min() else {
        return Check::warning(NAME, "the system does not say how much is free", "check that it has 600 MB left");
    };
    let by = if container == Some(free) && system != container { "in this container" } else { "available" };
    let found = format!("{free} MB {by}");
    match free {
        0..TOO_LITTLE_MB => Check::failed(NAME, found, "stop other programs, or give the box more memory"),
        TOO_LITTLE_MB..LITTLE_MB => {
            Check::warning(NAME, found, "the largest films may not fit; lower --max-decoded-mb to 100")
        }
        _ => Check::ok(NAME, found),
    }
}

/// MB of `MemAvailable` in /proc/meminfo's text.
fn available(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib / 1_000 * 1_024 / 1_000)
}

/// MB left below the limit of control group version 2; None without one.
fn container() -> Option<u64> {
    let number = |name: &str| fs::read_to_string(format!("/sys/fs/cgroup/{name}")).ok()?.trim().parse::<u64>().ok();
    let (limit, used) = (number("memory.max")?, number("memory.current")?);
    Some(limit.saturating_sub(used) / 1_000_000)
}

/// The hottest sensor; None on a machine without one.
pub fn temperature() -> Option<Check> {
    const NAME: &str = "temperature";
    let zones = fs::read_dir("/sys/class/thermal").ok()?.flatten();
    let readings =
        zones.filter_map(|zone| fs::read_to_string(zone.path().join("temp")).ok()?.trim().parse::<i64>().ok());
    let degrees = readings.max()? / 1_000;
    let found = format!("{degrees} °C");
    Some(if degrees >= 80 {
        Check::warning(NAME, found, "the processor slows down when it is hot; give the box a fan and air")
    } else {
        Check::ok(NAME, found)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn available_memory_is_read() {
        assert_eq!(available("MemTotal: 99 kB\nMemAvailable:    8000000 kB\n"), Some(8_192));
        assert_eq!(available("MemAvailable: much\n"), None);
        assert_eq!(available(""), None);
    }
}
