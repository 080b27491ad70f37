//! Reading a list into the compiler, on one thread or on two: one reads lines, the other hashes names.
//!
//! Rules arrive in the order of their lines either way, so that the index is the same.

use std::sync::mpsc::{SyncSender, sync_channel};

use super::{Compiler, Reading, Source};
use crate::read::report::Visitor;
use crate::read::{self, Format, ListError, Summary};
use crate::rule::Rule;

/// Rules that are handed from thread to thread together.
const TOGETHER: usize = 512;
/// Such packages that may wait.
const WAITING: usize = 8;

/// Reads a list into the compiler.
pub(super) fn stream(
    compiler: &mut Compiler,
    list: u16,
    source: &impl Source,
    reading: Reading,
) -> Result<Summary, ListError> {
    let mut adding = Adding { compiler, list };
    if adding.compiler.threads < 2 {
        return read::stream(source.open()?, reading.format, reading.subdomains, &mut adding);
    }
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel(WAITING);
        let reader = scope.spawn(move || {
            let mut handing = Handing {
                together: Vec::with_capacity(TOGETHER),
                sender,
            };
            let summary = read::stream(source.open()?, reading.format, reading.subdomains, &mut handing);
            handing.flush();
            summary
        });
        for event in receiver.into_iter().flatten() {
            match event {
                Event::Start(format) => adding.start(format),
                Event::Rule(line, rule) => adding.rule(line, rule),
                Event::Void(rule) => adding.void(rule),
            }
        }
        match reader.join() {
            Ok(summary) => summary,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Puts the rules of a list that is being read into the compiler.
struct Adding<'c> {
    compiler: &'c mut Compiler,
    list: u16,
}

impl Visitor for Adding<'_> {
    fn start(&mut self, format: Format) {
        if let Some(list) = self.compiler.lists.get_mut(usize::from(self.list)) {
            list.info.format = format;
            list.zone = format == Format::Rpz;
        }
    }

    fn rule(&mut self, line: u32, rule: Rule) {
        self.compiler.rule(self.list, line, rule, false);
    }

    fn void(&mut self, rule: Rule) {
        self.compiler.rule(self.list, 0, rule, true);
    }
}

/// What a reader says to its visitor.
enum Event {
    Start(Format),
    Rule(u32, Rule),
    Void(Rule),
}

/// Hands on what a reader says, in packages.
struct Handing {
    together: Vec<Event>,
    sender: SyncSender<Vec<Event>>,
}

impl Handing {
    fn push(&mut self, event: Event) {
        self.together.push(event);
        if self.together.len() >= TOGETHER {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let together = std::mem::replace(&mut self.together, Vec::with_capacity(TOGETHER));
        // The other end waits until this one is gone.
        let _ = self.sender.send(together);
    }
}

impl Visitor for Handing {
    fn start(&mut self, format: Format) {
        self.push(Event::Start(format));
    }

    fn rule(&mut self, line: u32, rule: Rule) {
        self.push(Event::Rule(line, rule));
    }

    fn void(&mut self, rule: Rule) {
        self.push(Event::Void(rule));
    }
}
