//! Who is next: start-time fair queueing (Goyal, Vin, Cheng 1996) over shares, with round robin among the
//! lines of one share. It knows neither threads nor time, so it can be tested move by move.
//!
//! A share's *tag* is the virtual time at which its next piece of work is due: what its work has cost so far,
//! and what such work usually costs for each piece that runs. The lowest tag goes next. The present is
//! what the share had cost whose work began last. Whoever comes from idle begins at the present, so idling
//! saves nothing up, and who has a lot waiting is only as far ahead as it has had more than others.

use std::collections::btree_map::BTreeMap;
use std::collections::{HashMap, VecDeque};

use super::{Bounds, Courtesy, Full, Party, Share};

/// Shares that are kept in mind. With more, those that idle are forgotten, and what they have had.
const MOST: usize = 1024;
/// How much a new piece of work moves the usual cost: an eighth of the difference.
const SMOOTHING: u64 = 8;
/// What a piece of work costs before any has ended, in nanoseconds.
const FIRST_COST: u64 = 1_000_000;

/// Virtual time, in nanoseconds of work, and an arrival, so that no two tags are the same.
type Tag = (u64, u64);

/// Work of all shares: how much runs, and what waits. `W` is how somebody who waits is told.
#[derive(Debug)]
pub(super) struct Queue<W> {
    bounds: Bounds,
    /// While others are to be let by, one share has half at a time.
    courtesy: Courtesy,
    shares: HashMap<Share, Lot<W>>,
    /// Shares with something to begin, by tag.
    ready: BTreeMap<Tag, Share>,
    /// The present.
    now: u64,
    running: usize,
    waiting: usize,
    /// What work costs usually, in nanoseconds.
    cost: u64,
    arrivals: u64,
}

/// One share of the queue.
#[derive(Debug)]
struct Lot<W> {
    /// What it has cost.
    spent: u64,
    /// What is expected of what runs.
    expected: u64,
    running: usize,
    waiting: usize,
    /// Those who wait, by the line they stand in. The first line is next.
    lines: VecDeque<(u64, VecDeque<(Ticket, W)>)>,
    listed: Option<Tag>,
}

/// Names somebody who waits.
pub(super) type Ticket = u64;

/// Work that has begun, and what it was taken to cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Begun {
    pub(super) share: Share,
    estimate: u64,
    /// Nothing else of its share ran or waited when it began, and it is not the server's own.
    pub(super) is_alone: bool,
}

/// How busy it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) running: usize,
    pub(super) waiting: usize,
    /// Shares of which something waits.
    pub(super) waiting_shares: usize,
}

impl<W> Default for Lot<W> {
    fn default() -> Self {
        Self { spent: 0, expected: 0, running: 0, waiting: 0, lines: VecDeque::new(), listed: None }
    }
}

impl<W> Lot<W> {
    const fn tag(&self) -> u64 {
        self.spent.saturating_add(self.expected)
    }

    /// Whether it belongs among those that have something to begin, or stands there.
    const fn has_place(&self) -> bool {
        self.waiting > 0 || self.listed.is_some()
    }

    const fn is_idle(&self) -> bool {
        self.running == 0 && self.waiting == 0
    }

    fn push(&mut self, line: u64, ticket: Ticket, waiter: W) {
        self.waiting += 1;
        match self.lines.iter_mut().find(|(name, _)| *name == line) {
            Some((_, line)) => line.push_back((ticket, waiter)),
            None => self.lines.push_back((line, VecDeque::from([(ticket, waiter)]))),
        }
    }

    /// The first of the line that is next, which then is the last.
    fn pop(&mut self) -> Option<W> {
        let (name, mut line) = self.lines.pop_front()?;
        let (_, waiter) = line.pop_front()?;
        self.waiting -= 1;
        if !line.is_empty() {
            self.lines.push_back((name, line));
        }
        Some(waiter)
    }

    fn length(&self, line: u64) -> usize {
        self.lines.iter().find(|(name, _)| *name == line).map_or(0, |(_, line)| line.len())
    }

    fn remove(&mut self, line: u64, ticket: Ticket) -> bool {
        let Some(at) = self.lines.iter().position(|(name, _)| *name == line) else { return false };
        let waiters = &mut self.lines[at].1;
        let before = waiters.len();
        waiters.retain(|(other, _)| *other != ticket);
        let removed = before - waiters.len();
        if waiters.is_empty() {
            self.lines.remove(at);
        }
        self.waiting -= removed;
        removed > 0
    }
}

impl<W> Queue<W> {
    pub(super) fn new(bounds: Bounds, courtesy: Courtesy) -> Self {
        Self {
            bounds,
            courtesy,
            shares: HashMap::new(),
            ready: BTreeMap::new(),
            now: 0,
            running: 0,
            waiting: 0,
            cost: FIRST_COST,
            arrivals: 0,
        }
    }

    pub(super) const fn running_most(&self) -> usize {
        self.bounds.running
    }

    pub(super) fn counts(&self) -> Counts {
        let waiting_shares = self.shares.values().filter(|lot| lot.waiting > 0).count();
        Counts { running: self.running, waiting: self.waiting, waiting_shares }
    }

    /// Somebody waits for whom it is not the turn. With `patient` beyond all bounds: they were admitted
    /// elsewhere.
    pub(super) fn wait(&mut self, party: Party, patient: bool, waiter: W) -> Result<Ticket, Full> {
        if !patient {
            self.room(party)?;
        }
        let ticket = self.arrivals;
        self.arrivals += 1;
        self.waiting += 1;
        self.arrive(party.share).push(party.line, ticket, waiter);
        self.list(party.share);
        Ok(ticket)
    }

    /// Begins at once, or not at all.
    pub(super) fn enter_now(&mut self, share: Share) -> Option<Begun> {
        let (most, has_room) = (self.most(share), self.running < self.bounds.running);
        let lot = self.arrive(share);
        if has_room && lot.waiting == 0 && lot.running < most {
            return Some(self.begin(share));
        }
        self.forget_if_idle(share);
        None
    }

    /// Which bound keeps a share from beginning more.
    pub(super) const fn why_not(&self) -> Full {
        if self.running >= self.bounds.running { Full::Total } else { Full::Share }
    }

    /// Somebody goes who waited. False: it was their turn already.
    pub(super) fn cancel(&mut self, party: Party, ticket: Ticket) -> bool {
        let Some(lot) = self.shares.get_mut(&party.share) else { return false };
        let removed = lot.remove(party.line, ticket);
        if removed {
            self.waiting -= 1;
            self.list(party.share);
            self.forget_if_idle(party.share);
        }
        removed
    }

    /// Work ended after `spent` nanoseconds: whose turn is it now?
    pub(super) fn leave(&mut self, begun: Begun, spent: u64) -> Vec<(Begun, W)> {
        if self.settle(begun, spent) {
            self.list(begun.share);
        }
        let next = self.begin_next();
        self.forget_if_idle(begun.share);
        next
    }

    /// Begins what there is room for.
    fn begin_next(&mut self) -> Vec<(Begun, W)> {
        let mut next = Vec::new();
        while self.running < self.bounds.running
            && let Some((_, share)) = self.ready.pop_first()
        {
            let most = self.most(share);
            let Some(lot) = self.shares.get_mut(&share) else { continue };
            lot.listed = None;
            if lot.running >= most {
                continue; // it had more before others were to be let by
            }
            let Some(waiter) = lot.pop() else { continue };
            self.waiting -= 1;
            next.push((self.begin(share), waiter));
        }
        next
    }

    /// Work that runs turns out to be another share's. It goes on if that share were the next, and its old
    /// share may begin something; else nothing has changed.
    pub(super) fn hand_over(
        &mut self,
        begun: Begun,
        to: Share,
        spent: u64,
    ) -> Option<(Begun, Vec<(Begun, W)>)> {
        if begun.share == to {
            return Some((begun, Vec::new()));
        }
        let most = self.most(to);
        let lot = self.arrive(to);
        let (may, tag) = (lot.running < most && lot.waiting == 0, lot.tag());
        let is_next = self.ready.keys().next().is_none_or(|(first, _)| tag <= *first);
        if !may || !is_next {
            self.forget_if_idle(to);
            return None;
        }
        self.settle(begun, spent);
        let begun_anew = self.begin(to);
        self.list(begun.share);
        let next = self.begin_next();
        self.forget_if_idle(begun.share);
        Some((begun_anew, next))
    }

    /// Nanoseconds until the share could take one more, as far as that can be told: what waits before it,
    /// at what work usually costs, with as much at a time as it may have beside all who are busy.
    pub(super) fn estimate(&self, share: Share, full: Full) -> u64 {
        let busy = self.shares.values().filter(|lot| !lot.is_idle()).count().max(1);
        let (ahead, at_once) = match full {
            Full::Total => (self.waiting, self.bounds.running),
            Full::Share => {
                let ahead = self.shares.get(&share).map_or(0, |lot| lot.waiting);
                (ahead, self.bounds.running_of(share).min((self.bounds.running / busy).max(1)))
            }
        };
        let ahead = u64::try_from(ahead).unwrap_or(u64::MAX).saturating_add(1);
        self.cost.saturating_mul(ahead) / u64::try_from(at_once).unwrap_or(u64::MAX).max(1)
    }

    /// How much of a share may run now.
    fn most(&self, share: Share) -> usize {
        let most = self.bounds.running_of(share);
        let is_narrow = share != Share::Server && self.courtesy.is_due_from(share);
        if is_narrow { (most / 2).max(1) } else { most }
    }

    /// There is nobody any more who was to be let by: whose turn is it now?
    pub(super) fn widen(&mut self) -> Vec<(Begun, W)> {
        let waiting = self.shares.iter().filter(|(_, lot)| lot.waiting > 0);
        let waiting: Vec<Share> = waiting.map(|(share, _)| *share).collect();
        for share in waiting {
            self.list(share);
        }
        self.begin_next()
    }

    fn arrive(&mut self, share: Share) -> &mut Lot<W> {
        let (crowd, now) = (self.shares.len(), self.now);
        // Now and then, so that it costs little for each who comes.
        if crowd >= MOST && crowd.is_multiple_of(64) && !self.shares.contains_key(&share) {
            self.shares.retain(|_, lot| !lot.is_idle());
        }
        let lot = self.shares.entry(share).or_default();
        if lot.is_idle() {
            lot.spent = lot.spent.max(now);
        }
        lot
    }

    fn room(&self, party: Party) -> Result<(), Full> {
        if self.waiting >= self.bounds.waiting {
            return Err(Full::Total);
        }
        let lot = self.shares.get(&party.share);
        let (of_line, of_share) = lot.map_or((0, 0), |l| (l.length(party.line), l.waiting));
        let most = (self.bounds.waiting_each, self.bounds.waiting_of(party.share));
        if of_line >= most.0 || of_share >= most.1 { Err(Full::Share) } else { Ok(()) }
    }

    fn begin(&mut self, share: Share) -> Begun {
        let estimate = self.cost;
        self.running += 1;
        let mut is_alone = true;
        if let Some(lot) = self.shares.get_mut(&share) {
            is_alone = lot.is_idle() && share != Share::Server;
            lot.running += 1;
            self.now = self.now.max(lot.spent);
            lot.expected = lot.expected.saturating_add(estimate);
            if lot.has_place() {
                self.list(share);
            }
        }
        Begun { share, estimate, is_alone }
    }

    /// Says whether the share may belong elsewhere among those that have something to begin.
    fn settle(&mut self, begun: Begun, spent: u64) -> bool {
        self.running -= 1;
        self.cost = self.cost - self.cost / SMOOTHING + spent / SMOOTHING;
        let Some(lot) = self.shares.get_mut(&begun.share) else { return false };
        lot.running -= 1;
        lot.expected = lot.expected.saturating_sub(begun.estimate);
        lot.spent = lot.spent.saturating_add(spent);
        lot.has_place()
    }

    /// Puts the share where it belongs among those that have something to begin.
    fn list(&mut self, share: Share) {
        let most = self.most(share);
        let Some(lot) = self.shares.get_mut(&share) else { return };
        let first = lot.lines.front().and_then(|(_, line)| line.front());
        let wanted = first.filter(|_| lot.running < most).map(|(ticket, _)| (lot.tag(), *ticket));
        if lot.listed == wanted {
            return;
        }
        if let Some(tag) = lot.listed.take() {
            self.ready.remove(&tag);
        }
        if let Some(tag) = wanted {
            lot.listed = wanted;
            self.ready.insert(tag, share);
        }
    }

    /// A share that idles and is not ahead of the present is one that never came. When nothing is left,
    /// time begins anew.
    fn forget_if_idle(&mut self, share: Share) {
        if self.running == 0 && self.waiting == 0 {
            self.shares.clear();
            self.now = 0;
            return;
        }
        if self.shares.get(&share).is_some_and(|lot| lot.is_idle() && lot.spent <= self.now) {
            self.shares.remove(&share);
        }
    }

    #[cfg(test)]
    pub(super) fn shares(&self) -> usize {
        self.shares.len()
    }
}
