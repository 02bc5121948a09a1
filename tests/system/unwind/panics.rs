// SPDX-License-Identifier: MIT

//! Rust panics: caught, passed on, from threads, with destructors and backtraces on the way. Protocol of scenario.h.

use std::backtrace::Backtrace;
use std::cell::Cell;
use std::io::{self, BufRead, Write};
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

struct Count(AtomicU64, AtomicU64);
static COUNTS: [Count; 4] = [const { Count(AtomicU64::new(0), AtomicU64::new(0)) }; 4];
static NAMES: [&str; 4] = ["r_throw", "r_middle", "r_outer", "r_trace"];

thread_local!(static ALIVE: Cell<i64> = const { Cell::new(0) });

struct Witness(u64);

impl Witness {
    fn new(id: u64) -> Self {
        ALIVE.with(|a| a.set(a.get() + 1));
        Witness(id)
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        ALIVE.with(|a| a.set(a.get() - 1));
    }
}

fn wrong(what: &str) -> ! {
    println!("wrong {what}");
    std::process::exit(3)
}

/// The kernel refuses functions that begin with a lock prefix, and loaders leave them out.
#[inline(always)]
fn came(n: usize) {
    unsafe { std::arch::asm!("nop") };
    COUNTS[n].0.fetch_add(1, Relaxed);
}

fn left<T>(n: usize, value: T) -> T {
    COUNTS[n].1.fetch_add(1, Relaxed);
    value
}

/// x + 1 if x is even, else it panics.
#[no_mangle]
#[inline(never)]
pub extern "C-unwind" fn r_throw(x: u64) -> u64 {
    came(0);
    if x & 1 == 1 {
        panic::resume_unwind(Box::new(x));
    }
    left(0, x + 1)
}

#[no_mangle]
#[inline(never)]
pub extern "C-unwind" fn r_middle(x: u64) -> u64 {
    came(1);
    let w = Witness::new(x);
    let r = r_throw(x);
    if w.0 != x {
        wrong("r_middle lost its frame");
    }
    left(1, r + 1)
}

/// Every third panic is passed on.
#[no_mangle]
#[inline(never)]
pub extern "C-unwind" fn r_outer(x: u64) -> u64 {
    came(2);
    let w = Witness::new(!x);
    let r = match panic::catch_unwind(AssertUnwindSafe(|| r_middle(x))) {
        Ok(v) => v,
        Err(e) if x % 3 == 0 => panic::resume_unwind(e),
        Err(e) => *e.downcast::<u64>().unwrap_or_else(|_| wrong("another panic")),
    };
    if w.0 != !x {
        wrong("r_outer lost its frame");
    }
    left(2, r)
}

#[no_mangle]
#[inline(never)]
pub extern "C-unwind" fn r_trace(depth: u64) -> u64 {
    came(3);
    let n = if depth > 0 {
        r_trace(depth - 1) + 1
    } else {
        let text = Backtrace::force_capture().to_string();
        if text.matches("r_trace").count() < 9 || !text.contains("main") {
            wrong(&format!("backtrace:\n{text}"));
        }
        0
    };
    left(3, n)
}

fn panics(n: u64) {
    for x in 0..n {
        let got = panic::catch_unwind(AssertUnwindSafe(|| r_outer(x)));
        let good = match got {
            Ok(v) => v == if x & 1 == 1 { x } else { x + 2 } && (x & 1 == 0 || x % 3 != 0),
            Err(e) => x & 1 == 1 && x % 3 == 0 && e.downcast_ref() == Some(&x),
        };
        if !good || ALIVE.with(Cell::get) != 0 {
            wrong("a panic went another way");
        }
    }
}

/// Real ones: with the hook, and a message that is formatted.
fn messages(n: u64) {
    for x in 0..n {
        let e = panic::catch_unwind(|| {
            let v: Vec<u64> = vec![x; 3];
            v[(x % 3 + 3) as usize]
        });
        if !e.is_err_and(|e| e.downcast_ref::<String>().is_some_and(|s| s.starts_with("index out of bounds"))) {
            wrong("not the message");
        }
    }
}

fn main() {
    panic::set_hook(Box::new(|_| ()));
    println!("ready {}", std::process::id());
    for line in io::stdin().lock().lines() {
        let line = line.unwrap();
        let mut words = line.split(' ');
        let (what, n) = (words.next().unwrap_or(""), words.next().and_then(|n| n.parse().ok()).unwrap_or(0));
        match what {
            "panics" => panics(n),
            "messages" => messages(n),
            "threads" => {
                let all: Vec<_> = (0..4).map(|_| thread::spawn(move || panics(n))).collect();
                all.into_iter().for_each(|t| t.join().unwrap_or_else(|_| wrong("a thread")));
                if thread::spawn(|| r_throw(7)).join().is_ok() {
                    wrong("a thread's panic was lost");
                }
            }
            "trace" => (0..n).for_each(|_| assert_eq!(r_trace(8), 8)),
            _ => wrong("command"),
        }
        for (name, Count(e, r)) in NAMES.iter().zip(&COUNTS) {
            let (e, r) = (e.load(Relaxed), r.load(Relaxed));
            println!("count {name} {e} {e} {r} {r}");
        }
        println!("done");
        io::stdout().flush().unwrap();
    }
}
