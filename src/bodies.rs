//! How many requests may hold a body before it is known whose they are. A body is memory, and one that comes
//! slowly holds it for long; no thread and no turn of anybody's waits for it.

use crate::fair::{Bounds, Fair, Party, State, Turn};
use crate::tasks::TaskError;

/// Bodies that are being read, or whose sender is being proven.
#[derive(Debug)]
pub struct Bodies {
    by_network: Fair,
    by_claim: Fair,
}

/// The right to hold one.
#[derive(Debug)]
pub struct Held {
    _network: Turn,
    _claim: Turn,
}

impl Bodies {
    /// Within bounds for networks, and for what is claimed in one: a builder may send for many tenants from
    /// one address.
    pub fn new([by_network, by_claim]: [Bounds; 2]) -> Self {
        Self { by_network: Fair::new(by_network), by_claim: Fair::new(by_claim) }
    }

    /// Takes one more of `party`, or says that there is no room.
    ///
    /// # Errors
    /// [`TaskError::Busy`], and [`TaskError::BusyTenant`] when there is room for others.
    pub fn hold(&self, party: Party) -> Result<Held, TaskError> {
        let claim = self.by_claim.enter_or_refuse(party.claim())?;
        let network = self.by_network.enter_or_refuse(party.share)?;
        Ok(Held { _network: network, _claim: claim })
    }

    /// How many are held.
    pub fn state(&self) -> State {
        let (network, claim) = (self.by_network.state(), self.by_claim.state());
        State {
            refused_total: network.refused_total + claim.refused_total,
            refused_share: network.refused_share + claim.refused_share,
            ..network
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fair::Share;

    fn bodies() -> Bodies {
        let bounds =
            |running_each| Bounds { running: 8, running_each, waiting: 0, waiting_each: 0 };
        Bodies::new([bounds(4), bounds(2)])
    }

    fn at(last: u8, claim: u64) -> Party {
        Party::stranger(Some([192, 0, 2, last].into()), claim)
    }

    /// Who claims to be somebody takes no room of those who claim the same elsewhere, or of a tenant.
    #[test]
    fn a_claim_takes_no_room_from_another_address() {
        let bodies = bodies();
        let _held: Vec<_> = (0..2).map(|_| bodies.hold(at(1, 7)).unwrap()).collect();
        assert!(matches!(bodies.hold(at(1, 7)), Err(TaskError::BusyTenant(_))));
        let _others = (bodies.hold(at(1, 8)).unwrap(), bodies.hold(at(2, 7)).unwrap());
        assert!(bodies.hold(Party::of(Share::Operator)).is_ok());
    }

    /// One address cannot take all the room by claiming a lot.
    #[test]
    fn a_network_has_half() {
        let bodies = bodies();
        let held: Vec<_> = (0..4).map(|claim| bodies.hold(at(1, claim)).unwrap()).collect();
        assert!(matches!(bodies.hold(at(1, 9)), Err(TaskError::BusyTenant(_))));
        let others: Vec<_> = (0..4).map(|claim| bodies.hold(at(2, claim)).unwrap()).collect();
        assert!(matches!(bodies.hold(at(3, 1)), Err(TaskError::Busy(_))));
        assert_eq!((bodies.state().refused_share, bodies.state().refused_total), (1, 1));
        drop((held, others));
        assert!(bodies.hold(at(3, 1)).is_ok());
        assert_eq!(bodies.state().running, 0);
    }
}
