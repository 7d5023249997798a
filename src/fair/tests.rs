//! The queue move by move, beside what is asked of it: bounds hold, nothing runs idle while something could
//! run, nobody starves, who goes gives everything back. And the handles with real waiting.

use std::collections::{BTreeMap, HashSet};

use colophon_model::TenantUid;

use super::queue::{Begun, Queue};
use super::*;

fn tenant(n: u8) -> Share {
    Share::Tenant(TenantUid::from_bytes([n; 16]))
}

fn bounds(running: usize, running_each: usize, waiting: usize, waiting_each: usize) -> Bounds {
    Bounds { running, running_each, waiting, waiting_each }
}

#[derive(Debug, Clone)]
enum Move {
    /// Somebody of a share and line comes.
    Come(u8, u64),
    /// Work ends: which of those that run, and what it has cost.
    End(usize, u64),
    /// Somebody goes who waits.
    Go(usize),
    /// Work turns out to be another share's.
    HandOver(usize, u8),
    /// Work of somebody begins elsewhere who seldom has any, or ends.
    Guest(u8),
}

/// Numbers that are the same for the same seed (Knuth's MMIX generator).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn size(&mut self, bound: u64) -> usize {
        usize::try_from(self.below(bound)).unwrap()
    }

    fn step(&mut self) -> Move {
        let share = u8::try_from(self.below(5)).unwrap();
        match self.below(12) {
            0..5 => Move::Come(share, self.below(3)),
            5..9 => Move::End(self.size(1000), 1 + self.below(5_000_000)),
            9 => Move::Go(self.size(1000)),
            10 => Move::Guest(share),
            _ => Move::HandOver(self.size(1000), share),
        }
    }
}

/// What is known from outside: who runs and who waits.
struct World {
    queue: Queue<u64>,
    courtesy: Courtesy,
    guests: Vec<Share>,
    bounds: Bounds,
    running: Vec<Begun>,
    waiting: BTreeMap<u64, (Party, u64)>,
    came: u64,
}

impl World {
    fn new(bounds: Bounds) -> Self {
        let (running, waiting, courtesy) = (Vec::new(), BTreeMap::new(), Courtesy::default());
        let queue = Queue::new(bounds, courtesy.clone());
        Self { queue, courtesy, guests: Vec::new(), bounds, running, waiting, came: 0 }
    }

    /// Comes, and goes when it was there.
    fn guest(&mut self, share: Share) {
        let Some(at) = self.guests.iter().position(|guest| *guest == share) else {
            self.guests.push(share);
            return self.courtesy.come(share);
        };
        self.guests.remove(at);
        self.courtesy.go(share);
        let next = self.queue.widen();
        self.began(next);
    }

    fn began(&mut self, next: Vec<(Begun, u64)>) {
        for (begun, who) in next {
            let (party, _) = self.waiting.remove(&who).expect("only who waits begins");
            assert_eq!(party.share, begun.share);
            self.running.push(begun);
        }
    }

    fn make(&mut self, step: &Move) {
        match *step {
            Move::Come(share, line) => self.come(Party { share: tenant(share), line }),
            Move::End(at, cost) if !self.running.is_empty() => {
                let begun = self.running.swap_remove(at % self.running.len());
                let next = self.queue.leave(begun, cost);
                self.began(next);
            }
            Move::Go(at) if !self.waiting.is_empty() => {
                let who = *self.waiting.keys().nth(at % self.waiting.len()).unwrap();
                let (party, ticket) = self.waiting.remove(&who).unwrap();
                assert!(self.queue.cancel(party, ticket), "who waits is found");
                assert!(!self.queue.cancel(party, ticket), "and then is not there");
            }
            Move::HandOver(at, to) if !self.running.is_empty() => {
                let at = at % self.running.len();
                if let Some((begun, next)) = self.queue.hand_over(self.running[at], tenant(to), 1) {
                    self.running[at] = begun;
                    self.began(next);
                }
            }
            Move::Guest(share) => self.guest(tenant(share)),
            _ => {}
        }
    }

    fn come(&mut self, party: Party) {
        let who = self.came;
        self.came += 1;
        if let Some(begun) = self.queue.enter_now(party.share) {
            self.running.push(begun);
            return;
        }
        match self.queue.wait(party, false, who) {
            Ok(ticket) => drop(self.waiting.insert(who, (party, ticket))),
            Err(Full::Total) => assert_eq!(self.waiting.len(), self.bounds.waiting),
            Err(Full::Share) => assert_eq!(self.waits(party.share), self.bounds.waiting_each),
        }
    }

    fn waits(&self, share: Share) -> usize {
        self.waiting.values().filter(|(party, _)| party.share == share).count()
    }

    fn runs(&self, share: Share) -> usize {
        self.running.iter().filter(|begun| begun.share == share).count()
    }

    /// What holds after every move.
    fn check(&self, at: &str) {
        let counts = self.queue.counts();
        let known = (self.running.len(), self.waiting.len());
        assert_eq!((counts.running, counts.waiting), known, "{at}");
        let (running, waiting) = (self.bounds.running, self.bounds.waiting);
        assert!(counts.running <= running && counts.waiting <= waiting, "{at}");
        let shares: HashSet<Share> = self.waiting.values().map(|(party, _)| party.share).collect();
        assert_eq!(counts.waiting_shares, shares.len());
        let each = self.bounds.running_each;
        for share in (0..5).map(tenant) {
            let is_narrow = self.guests.iter().any(|guest| *guest != share);
            let most = if is_narrow { (each / 2).max(1) } else { each };
            assert!(self.runs(share) <= each, "{at}");
            assert!(self.waits(share) <= self.bounds.waiting_each, "{at}");
            // Work conserving: who waits is kept by a bound, and by nothing else.
            let kept = counts.running == self.bounds.running || self.runs(share) >= most;
            assert!(self.waits(share) == 0 || kept, "{at}: {share:?} waits for nothing");
        }
    }

    /// Everything ends; everybody who waits has had a turn, and nothing is kept of anybody.
    fn end(mut self) {
        while let Some(guest) = self.guests.first().copied() {
            self.guest(guest);
            self.check("the guests go");
        }
        while let Some(begun) = self.running.pop() {
            let next = self.queue.leave(begun, 1);
            self.began(next);
            self.check("the end");
        }
        assert!(self.waiting.is_empty(), "nobody is forgotten");
        assert_eq!(self.queue.shares(), 0);
    }
}

/// Three thousand queues of all sizes, each with two hundred moves.
#[test]
fn bounds_hold_nothing_idles_and_nobody_is_forgotten() {
    for seed in 0..3000 {
        let mut dice = Dice(seed);
        let (running, each) = (1 + dice.size(4), 1 + dice.size(4));
        let mut world = World::new(bounds(running, each, dice.size(12), dice.size(6)));
        let moves: Vec<Move> = (0..200).map(|_| dice.step()).collect();
        for (n, step) in moves.iter().enumerate() {
            world.make(step);
            world.check(&format!("seed {seed}, move {n}: {step:?}"));
        }
        world.end();
    }
}

/// Two shares that always have something waiting get as much work done, whatever a piece of each costs: the
/// difference is never more than a few pieces.
#[test]
fn shares_that_are_always_busy_get_the_same() {
    for (costs, places) in
        [([1_000, 100_000], 1), ([90_000, 1_000], 1), ([50_000, 50_000], 2), ([2_000, 70_000], 3)]
    {
        let mut queue: Queue<()> =
            Queue::new(bounds(places, places, 1000, 500), Courtesy::default());
        let cost = |share| costs[usize::from(share == tenant(1))];
        let mut running = Vec::new();
        for n in 0..200 {
            let share = tenant(n % 2);
            match queue.enter_now(share) {
                Some(begun) => running.push(begun),
                None => drop(queue.wait(Party::of(share), false, ()).unwrap()),
            }
        }
        let mut done = BTreeMap::from([(tenant(0), 0u64), (tenant(1), 0)]);
        for _ in 0..20_000 {
            let begun = running.remove(0);
            *done.get_mut(&begun.share).unwrap() += cost(begun.share);
            running.extend(queue.leave(begun, cost(begun.share)).into_iter().map(|(b, ())| b));
            queue.wait(Party::of(begun.share), true, ()).unwrap();
        }
        let apart = done[&tenant(0)].abs_diff(done[&tenant(1)]);
        // The estimate of a first piece is wrong by as much as a millisecond.
        let pieces = 1_000_000 + 4 * costs[0].max(costs[1]);
        assert!(apart <= pieces, "{costs:?} at {places}: {done:?}");
        assert!(done[&tenant(0)] > 10 * pieces, "enough to tell: {done:?}");
    }
}

/// A gate may take a minute: one tenant's builds must not hold every place.
#[test]
fn long_work_of_one_share_leaves_a_place_to_others() {
    let each = |running| Bounds::all_but_one(running, 8).running_each;
    assert_eq!((each(4), each(2), each(1), Bounds::all_but_one(4, 8).waiting_each), (3, 1, 1, 2));
}

/// The point of it all: a tenant that comes while another has a thousand waiting has its turn next.
#[test]
fn whoever_comes_during_a_storm_is_next() {
    let mut queue: Queue<u32> = Queue::new(bounds(2, 2, 2000, 1000), Courtesy::default());
    let storm = Party::of(tenant(1));
    let mut running: Vec<Begun> = (0..2).map(|_| queue.enter_now(storm.share).unwrap()).collect();
    for n in 0..1000 {
        queue.wait(storm, false, n).unwrap();
    }
    assert_eq!(queue.wait(storm, false, 1000), Err(Full::Share));
    for round in 0..100 {
        queue.wait(Party::of(tenant(2)), false, 5000).unwrap();
        let next = queue.leave(running.remove(0), 1_000_000);
        assert_eq!(next[0].1, 5000, "round {round}");
        running.push(next[0].0);
        // It ends, and the storm goes on.
        let next = queue.leave(running.pop().unwrap(), 100_000);
        assert!(next[0].1 < 1000);
        running.push(next[0].0);
    }
}

/// What was expected of work that turned out to be cheap must not stand in the way of whoever comes then.
#[test]
fn a_wrong_estimate_is_no_advantage() {
    let mut queue: Queue<u32> = Queue::new(bounds(4, 4, 2000, 1000), Courtesy::default());
    let storm = Party::of(tenant(1));
    let running: Vec<Begun> = (0..4).map(|_| queue.enter_now(storm.share).unwrap()).collect();
    for n in 0..1000 {
        queue.wait(storm, false, n).unwrap();
    }
    let mut running: Vec<Begun> = running
        .into_iter()
        .flat_map(|begun| queue.leave(begun, 10))
        .map(|(begun, _)| begun)
        .collect();
    queue.wait(Party::of(tenant(2)), false, 5000).unwrap();
    assert_eq!(queue.leave(running.remove(0), 10)[0].1, 5000);
}

/// A builder sends for all its tenants from one address. One that sends a lot keeps none of the others
/// waiting, also before it is known whose a delivery is.
#[test]
fn claims_from_one_address_take_turns() {
    let at = |claim| Party::stranger(Some([192, 0, 2, 1].into()), claim);
    let mut queue: Queue<u64> = Queue::new(bounds(1, 1, 1000, 100), Courtesy::default());
    let mut begun = queue.enter_now(at(1).share).unwrap();
    for _ in 0..100 {
        queue.wait(at(1), false, 1).unwrap();
    }
    assert_eq!(queue.wait(at(1), false, 1), Err(Full::Share));
    queue.wait(at(2), false, 2).unwrap();
    let mut order = Vec::new();
    for _ in 0..4 {
        let next = queue.leave(begun, 1000);
        order.push(next[0].1);
        begun = next[0].0;
    }
    assert_eq!(order, [1, 2, 1, 1]);
}

/// Strangers must not make the server remember them all.
#[test]
fn shares_that_went_are_forgotten() {
    let mut queue: Queue<()> = Queue::new(bounds(1000, 1000, 0, 0), Courtesy::default());
    let _held = queue.enter_now(tenant(0)).unwrap();
    for n in 0..100_000u32 {
        let share = Share::Network(Some(std::net::Ipv4Addr::from(n).into()));
        let begun = queue.enter_now(share).unwrap();
        queue.leave(begun, 10_000_000);
    }
    assert!(queue.shares() < 2000, "{}", queue.shares());
}

#[test]
fn the_wait_is_told_by_what_work_costs_and_who_is_busy() {
    let mut queue: Queue<()> = Queue::new(bounds(4, 2, 100, 20), Courtesy::default());
    let begun = queue.enter_now(tenant(1)).unwrap();
    for _ in 0..64 {
        let begun = queue.enter_now(tenant(1)).unwrap();
        queue.leave(begun, 1_000_000_000);
    }
    let _second = queue.enter_now(tenant(1)).unwrap();
    for _ in 0..20 {
        queue.wait(Party::of(tenant(1)), false, ()).unwrap();
    }
    let seconds = queue.estimate(tenant(1), Full::Share) / 1_000_000_000;
    assert!((9..=11).contains(&seconds), "21 of a second, two at a time: {seconds}");
    queue.leave(begun, 1);
}

/// A client that goes away while it waits takes no turn, and keeps nobody from theirs.
#[tokio::test]
async fn who_goes_while_waiting_gives_the_place_back() {
    let fair = Fair::new(bounds(1, 1, 2, 2));
    let turn = fair.enter_now(tenant(1)).unwrap();
    let gone = fair.enter(Party::of(tenant(1))).unwrap();
    let stays = fair.enter(Party::of(tenant(1))).unwrap();
    assert!(fair.enter(Party::of(tenant(2))).is_err());
    drop(gone);
    assert_eq!(fair.state().waiting, 1);
    drop(turn);
    let turn = stays.turn().await.unwrap();
    assert_eq!((fair.state().running, fair.state().waiting), (1, 0));
    // Gone after the turn came, and before it was taken.
    let late = fair.enter(Party::of(tenant(1))).unwrap();
    let next = fair.enter(Party::of(tenant(2))).unwrap();
    drop(turn);
    drop(late);
    assert_eq!(next.turn().await.unwrap().share(), tenant(2));
    assert_eq!(fair.state().running, 0);
    assert_eq!(fair.state().refused_total, 1);
}

/// While work waits for the disk or a tool, its turn is another's; afterwards it has one again.
#[test]
fn a_turn_that_is_put_aside_is_anothers() {
    let fair = Fair::new(bounds(1, 1, 0, 0));
    let turn = fair.enter_now(tenant(1)).unwrap();
    holding(turn, || {
        assert_eq!(share(), tenant(1));
        assert!(fair.enter_now(tenant(2)).is_none());
        aside(|| assert!(fair.enter_now(tenant(2)).is_some()));
        assert!(fair.enter_now(tenant(2)).is_none());
        assert_eq!(share(), tenant(1));
    });
    assert_eq!((fair.state().running, share()), (0, Share::Server));
}

/// Whoever has waited for the last time is done, and does not stand in line once more for that.
#[test]
fn after_the_last_wait_there_is_no_turn() {
    let fair = Fair::new(bounds(1, 1, 0, 0));
    let turn = fair.enter_now(tenant(1)).unwrap();
    holding(turn, || {
        at_last(|| assert!(fair.enter_now(tenant(2)).is_some()));
        assert_eq!((share(), fair.state().running), (tenant(1), 0));
        aside(|| ());
        assert_eq!((share(), fair.state().running), (tenant(1), 0));
        resume();
        assert_eq!((share(), fair.state().running), (tenant(1), 1));
    });
    assert_eq!((fair.state().running, share()), (0, Share::Server));
}

/// Work on one thread must not have a fifth of the processors beside four threads of another: while it runs, the other has
/// half, in all queues that know of it, and whoever waited for that goes on afterwards.
#[tokio::test]
async fn those_who_seldom_have_work_are_let_by() {
    let courtesy = Courtesy::default();
    let builds = Fair::courteous(bounds(4, 4, 0, 0), &courtesy);
    let reads = Fair::courteous(bounds(4, 2, 4, 4), &courtesy);
    let storm = Party::of(tenant(1));
    let _first = reads.enter_now(storm.share).unwrap();
    let second = reads.enter_now(storm.share).unwrap();
    let guest = builds.enter_now(tenant(2)).unwrap();
    drop(second);
    let second = reads.enter(storm).unwrap();
    assert_eq!((reads.state().running, reads.state().waiting), (1, 1));
    drop(guest);
    let _second = second.turn().await.unwrap();
    assert_eq!((reads.state().running, reads.state().waiting), (2, 0));
}

/// Nobody is in their own way: without anybody else, two pieces of work of one share run at a time.
#[test]
fn nobody_lets_themselves_by() {
    let courtesy = Courtesy::default();
    let reads = Fair::courteous(bounds(4, 2, 0, 0), &courtesy);
    let turns: Vec<_> = (0..2).map(|_| reads.enter_now(tenant(1)).unwrap()).collect();
    // Of the second, another of its share ran when it began: it is nobody's guest.
    assert!(courtesy.is_due_from(tenant(2)) && !courtesy.is_due_from(tenant(1)));
    drop(turns);
    assert!(!courtesy.is_due_from(tenant(2)));
}

/// The server's own work is bounded with all other alone, whoever is let by; and nobody has to let it by.
#[test]
fn the_server_itself_is_neither_narrowed_nor_let_by() {
    let courtesy = Courtesy::default();
    let reads = Fair::courteous(bounds(4, 2, 0, 0), &courtesy);
    drop(reads.enter_now(Share::Server).inspect(|_| assert!(!courtesy.is_due_from(tenant(1)))));
    courtesy.come(tenant(1));
    let turns: Vec<_> = (0..4).map(|_| reads.enter_now(Share::Server).unwrap()).collect();
    assert_eq!((turns.len(), reads.state().running), (4, 4));
}

/// Threads that put turns aside and take them again, more of them than there are turns: all come to an end.
#[test]
fn many_threads_share_a_few_turns() {
    let fair = Fair::new(bounds(2, 1, 100, 100));
    let most = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for n in 0..16u8 {
            let (fair, most) = (&fair, &most);
            scope.spawn(move || {
                for _ in 0..50 {
                    let turn = fair.enter_patiently(Party::of(tenant(n % 4))).block().unwrap();
                    holding(turn, || {
                        most.fetch_max(fair.state().running as u64, Ordering::Relaxed);
                        aside(std::thread::yield_now);
                    });
                }
            });
        }
    });
    assert!(most.load(Ordering::Relaxed) <= 2);
    let state = fair.state();
    assert_eq!((state.running, state.waiting), (0, 0));
}
