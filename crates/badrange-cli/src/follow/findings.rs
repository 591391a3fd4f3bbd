//! From what a log says to what is new in it.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use badrange::{
    core::PageSize,
    explain::{Query, QueryTarget, Seen},
    input::{LogEvent, LogStream, NamedRange, Place, RangeList, UnplacedRange},
};
use serde_json::Value;

use super::{event, feed::Next, watch::Watched};
use crate::{
    Failure,
    log::{EXIT_UNKNOWN, LogArgs},
};

/// Findings that are remembered at once; the oldest is forgotten first.
pub(super) const MAX_REMEMBERED: usize = 1 << 16;
/// How often the files of the stack are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a finding is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Device(usize, u64, u64),
    Memory(u64, u64),
    Unplaced(String),
    Truncated,
}

/// When it was told, and how often it was left out since.
#[derive(Debug)]
struct News {
    at: Duration,
    order: u64,
    repeats: u64,
}

/// Turns a text that grows into findings, each told once per window. Memory is bounded.
pub(super) struct Findings {
    stack: Watched,
    stream: LogStream,
    page: PageSize,
    window: Duration,
    nameless: Option<String>,
    block_size: Option<u64>,
    told: HashMap<Key, News>,
    /// Keys by the order in which they were told.
    order: BTreeMap<u64, Key>,
    count: u64,
    /// What was told of the lowest devices, for the reports of those above.
    below: Seen,
    looked: Duration,
    statuses: BTreeSet<u8>,
}

impl Findings {
    pub(super) fn new(stack: Watched, args: &LogArgs, window: Duration) -> Result<Self, Failure> {
        if let Some(name) =
            args.device.as_deref().filter(|n| stack.explainer().device_of_log(n).is_none())
        {
            return Err(Failure::usage(format!("--device {name:?}: no such device in this stack")));
        }
        let page = args.page_size.unwrap_or(stack.explainer().topology().memory().page);
        Ok(Self {
            stack,
            stream: LogStream::of_pages(page),
            page,
            window,
            nameless: args.device.clone(),
            block_size: args.block_size,
            told: HashMap::new(),
            order: BTreeMap::new(),
            count: 0,
            below: Seen::new(),
            looked: Duration::ZERO,
            statuses: BTreeSet::new(),
        })
    }

    /// What is new.
    pub(super) fn take(&mut self, next: Next, now: Duration) -> Vec<Value> {
        let mut out = Vec::new();
        if now.saturating_sub(self.looked) >= LOOK_EVERY {
            self.looked = now;
            out.extend(self.reload());
        }
        let mut events = Vec::new();
        let anew = next == Next::Anew;
        match next {
            Next::Bytes(bytes) => self.stream.push(&bytes, &mut events),
            Next::Idle => self.stream.idle(&mut events),
            Next::End | Next::Anew => self.stream.finish(&mut events),
        }
        for event in events {
            self.event(event, now, &mut out);
        }
        if anew {
            self.stream = LogStream::of_pages(self.page);
            out.push(event::rotated());
        }
        out
    }

    /// The exit status of everything that was found: the rule of one answer.
    pub(super) fn exit_code(&self) -> u8 {
        [2, 1, EXIT_UNKNOWN].into_iter().find(|status| self.statuses.contains(status)).unwrap_or(0)
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        assert_eq!(self.told.len(), self.order.len(), "both know the same");
        self.told.len()
    }

    fn reload(&mut self) -> Option<Value> {
        let reloaded = self.stack.reload()?;
        if reloaded.is_ok() {
            // What was told before may mean something else now.
            self.told.clear();
            self.order.clear();
            self.below = Seen::new();
        }
        Some(event::reloaded(reloaded.err().as_ref().map(Failure::message)))
    }

    fn event(&mut self, event: LogEvent, now: Duration, out: &mut Vec<Value>) {
        match event {
            LogEvent::Range(range) => {
                for place in self.located(range) {
                    match place {
                        Ok(query) => out.extend(self.query(&query, now)),
                        Err(unplaced) => out.extend(self.unplaced(&unplaced, now)),
                    }
                }
            }
            LogEvent::Unplaced(unplaced) => out.extend(self.unplaced(&unplaced, now)),
            LogEvent::Cut { line } => {
                out.extend(self.news(Key::Truncated, now).map(|_| event::truncated(line)));
            }
        }
    }

    fn located(&self, mut range: NamedRange) -> Vec<Result<Query, UnplacedRange>> {
        let explainer = self.stack.explainer();
        let nameless = self.nameless.as_deref().or_else(|| explainer.only_disk());
        if let Place::Blocks { device, unit, .. } = &range.place {
            let known = explainer.block_size(device.as_deref().or(nameless), *unit);
            let given = self.block_size.filter(|_| known.is_none());
            range.place = given
                .and_then(|size| range.place.clone().in_bytes(size))
                .unwrap_or_else(|| range.place.clone());
        }
        let list = RangeList { ranges: vec![range], ..RangeList::default() };
        let located = explainer.locate_ranges(&list, nameless);
        let unplaced = located.unplaced.into_iter().map(Err);
        located.queries.into_iter().map(Ok).chain(unplaced).collect()
    }

    fn query(&mut self, query: &Query, now: Duration) -> Option<Value> {
        let key = match query.target {
            QueryTarget::Device { place, extent } => {
                Key::Device(place, extent.start().get(), extent.len())
            }
            QueryTarget::Memory(extent) => Key::Memory(extent.start().get(), extent.len()),
        };
        let repeats = self.news(key.clone(), now)?;
        if !self.is_new_below(query, now) {
            let left_out = self.told.get_mut(&key);
            left_out.into_iter().for_each(|news| news.repeats = repeats.saturating_add(1));
            return None;
        }
        let answer = self.stack.explainer().explain(core::slice::from_ref(query));
        self.statuses.insert(answer.exit_code());
        Some(event::finding(query, &answer, repeats))
    }

    /// Whether anything of a query was not told within the window as bytes of a device below.
    fn is_new_below(&mut self, query: &Query, now: Duration) -> bool {
        if self.below.ranges() >= MAX_REMEMBERED {
            self.below = Seen::new();
        }
        let recent = |at| now.saturating_sub(at) < self.window;
        self.below.take(self.stack.explainer(), query, now, recent)
    }

    fn unplaced(&mut self, unplaced: &UnplacedRange, now: Duration) -> Option<Value> {
        let repeats = self.news(Key::Unplaced(unplaced.what.clone()), now)?;
        self.statuses.insert(EXIT_UNKNOWN);
        Some(event::unplaced(unplaced, repeats))
    }

    /// `None` for what was told within the window; else how often it was left out since.
    fn news(&mut self, key: Key, now: Duration) -> Option<u64> {
        let order = self.count;
        self.count = self.count.saturating_add(1);
        let known = self.told.get_mut(&key);
        let repeats = match known {
            Some(told) if now.saturating_sub(told.at) < self.window => {
                told.repeats = told.repeats.saturating_add(1);
                return None;
            }
            Some(told) => {
                self.order.remove(&told.order);
                told.repeats
            }
            None => 0,
        };
        self.told.insert(key.clone(), News { at: now, order, repeats: 0 });
        self.order.insert(order, key);
        if self.told.len() > MAX_REMEMBERED {
            if let Some((_, oldest)) = self.order.pop_first() {
                self.told.remove(&oldest);
            }
        }
        Some(repeats)
    }
}
