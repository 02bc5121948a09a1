// SPDX-License-Identifier: MIT
//! aya_loader OBJECT FILE FUNCTION: counts the calls of a function until Ctrl-C, with aya.
use aya::{maps::Array, programs::UProbe, Ebpf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    loaders::interrupted(true);
    let mut bpf = Ebpf::load_file(&args[1])?;
    let program: &mut UProbe = bpf.program_mut("count_calls").ok_or("no program")?.try_into()?;
    program.load()?;
    program.attach(Some(args[3].as_str()), 0, &args[2], None)?;
    println!("ready");
    loaders::interrupted(false);
    let counts: Array<_, u64> = Array::try_from(bpf.map("tool_counts").ok_or("no map")?)?;
    println!("count {}", counts.get(&1, 0)?);
    Ok(())
}
