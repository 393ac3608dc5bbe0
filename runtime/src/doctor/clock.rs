use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Check;

/// 2026-11-01, seconds since 1970: no box runs this version earlier.
const EARLIEST: u64 = 1_793_491_200;
const YEARS: u64 = 20;
const SLACK: Duration = Duration::from_secs(86_400);

/// A board without a battery wakes up in the past, and results would carry that time. `installed` is when the program or
/// its model was written, if known.
pub fn clock(now: SystemTime, installed: Option<SystemTime>) -> Check {
    const HINT: &str = "set the clock: an NTP server of the hospital (timedatectl), or a battery for the board's clock";
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let said = format!("{} UTC", date(seconds));
    if !(EARLIEST..EARLIEST + YEARS * 31_557_600).contains(&seconds) {
        return Check::failed("clock", format!("{said}, which cannot be"), HINT);
    }
    match installed {
        Some(installed) if installed > now + SLACK => {
            Check::warning("clock", format!("{said}, earlier than the program's own file"), HINT)
        }
        _ => Check::ok("clock", said),
    }
}

/// `YYYY-MM-DD hh:mm` of seconds since 1970 (days to civil date as in Hinnant's chrono-compatible algorithms).
fn date(seconds: u64) -> String {
    let days = (seconds / 86_400).min(10_000_000) as i64 + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}", seconds / 3_600 % 24, seconds / 60 % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn dates() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00"),
            (951_782_400, "2000-02-29 00:00"),
            (EARLIEST, "2026-11-01 00:00"),
            (4_107_542_340, "2100-02-28 23:59"),
            (4_107_542_400, "2100-03-01 00:00"),
        ] {
            assert_eq!(date(seconds), text);
        }
    }

    #[test]
    fn the_past_and_the_far_future_fail() {
        assert_eq!(clock(at(0), None).status, Status::Failed);
        assert_eq!(clock(at(EARLIEST - 1), None).status, Status::Failed);
        assert_eq!(clock(at(EARLIEST), None).status, Status::Ok);
        assert_eq!(clock(at(9_999_999_999), None).status, Status::Failed);
    }

    #[test]
    fn before_the_installation_is_a_warning() {
        let now = at(EARLIEST + 1_000_000);
        assert_eq!(clock(now, Some(now + Duration::from_secs(100_000))).status, Status::Warning);
        assert_eq!(clock(now, Some(now - Duration::from_secs(100_000))).status, Status::Ok);
    }
}
