//! How many instances this process has room for.
//!
//! A pool reserves address space for every place at once, and each live instance splits it into several
//! mappings, of which the kernel lets a process have a fixed number (`vm.max_map_count`). A pool made larger
//! than that fails not when it is made but in the middle of a call, so both are looked at first.

use crate::engine::MEMORIES;

/// Address space one memory of the pool takes: 4 GiB, so that the code needs no bounds checks, and its guard.
const MEMORY_SPACE: u64 = (4 << 30) + (64 << 20);
/// Mappings a live place takes at the most: its memory's image, heap and guard for each memory, and the borders
/// they make with the neighbours'.
const PLACE_MAPPINGS: u64 = 4 * MEMORIES as u64;
/// Address space of a process on the platforms that are built for (47 bits), of which half is left alone.
const ADDRESS_SPACE: u64 = 1 << 46;
/// A pool with fewer places is no use.
const FEWEST: u64 = 4;

/// What the kernel lets this process have; none where it does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Space {
    /// Mappings that are still free.
    mappings: Option<u64>,
    /// Bytes of address space that are still free, where they are limited.
    address_space: Option<u64>,
}

/// How instances get their memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plan {
    /// From a pool with so many places.
    Pool(u32),
    /// One by one, at some more cost.
    OnDemand(Memories),
}

/// How a linear memory lies in the address space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Memories {
    /// With all the space it could ever need.
    Reserved,
    /// With what it needs now.
    Grown,
}

impl Space {
    /// Asks the kernel.
    #[expect(
        clippy::disallowed_methods,
        reason = "the kernel's facts about this process, not a workspace's files"
    )]
    pub(crate) fn find() -> Self {
        let number = |path: &str| std::fs::read_to_string(path).ok();
        let most = number("/proc/sys/vm/max_map_count").and_then(|text| text.trim().parse::<u64>().ok());
        let taken = number("/proc/self/maps").map_or(0, |text| text.lines().count() as u64);
        let limit = rustix::process::getrlimit(rustix::process::Resource::As).current;
        let status = number("/proc/self/status").unwrap_or_default();
        let size = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
        let size = size.and_then(|size| size.trim().trim_end_matches(" kB").parse::<u64>().ok());
        let used = size.unwrap_or(0).saturating_mul(1024);
        Self {
            mappings: most.map(|most| most.saturating_sub(taken)),
            address_space: limit.map(|limit| limit.saturating_sub(used)),
        }
    }

    /// Plans for so many places: half of what there is stays free for the rest of the process.
    pub(crate) fn plan(self, wanted: u32) -> Plan {
        let space = self.address_space.unwrap_or(u64::MAX).min(ADDRESS_SPACE);
        let by_space = space / 2 / (MEMORY_SPACE * u64::from(MEMORIES));
        let by_mappings = self.mappings.map_or(u64::MAX, |mappings| mappings / 2 / PLACE_MAPPINGS);
        let places = u64::from(wanted).min(by_space).min(by_mappings);
        if places >= FEWEST.min(u64::from(wanted)) {
            // It is at most `wanted`.
            return Plan::Pool(u32::try_from(places).unwrap_or(wanted));
        }
        Plan::OnDemand(self.memories())
    }

    /// How memories lie that come one by one: where space is short, one reservation may be all there is.
    pub(crate) fn memories(self) -> Memories {
        let space = self.address_space.unwrap_or(u64::MAX);
        if space / 2 / MEMORY_SPACE < FEWEST * u64::from(MEMORIES) {
            Memories::Grown
        } else {
            Memories::Reserved
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(mappings: Option<u64>, address_space: Option<u64>, wanted: u32) -> Plan {
        Space { mappings, address_space }.plan(wanted)
    }

    #[test]
    fn a_pool_is_as_large_as_was_asked_for_where_there_is_room() {
        assert_eq!(plan(Some(65_530), None, 32), Plan::Pool(32));
        assert_eq!(plan(None, None, 1_000), Plan::Pool(1_000));
        assert_eq!(plan(Some(65_530), None, 1), Plan::Pool(1));
    }

    #[test]
    fn a_pool_shrinks_to_the_room_there_is() {
        assert_eq!(plan(Some(65_530), None, 100_000), Plan::Pool(4_032));
        assert_eq!(plan(None, None, u32::MAX), Plan::Pool(4_032));
        assert_eq!(plan(Some(1_000), None, 1_000), Plan::Pool(62));
        assert_eq!(plan(Some(65_530), Some(1 << 40), 1_000), Plan::Pool(63));
    }

    #[test]
    fn without_room_memories_come_one_by_one() {
        assert_eq!(plan(Some(40), None, 32), Plan::OnDemand(Memories::Reserved));
        assert_eq!(plan(Some(65_530), Some(8 << 30), 32), Plan::OnDemand(Memories::Grown));
        assert_eq!(plan(Some(65_530), Some(0), 1), Plan::OnDemand(Memories::Grown));
    }

    #[test]
    fn this_machine_answers() {
        assert!(Space::find().mappings.is_some());
    }
}
