// SPDX-License-Identifier: MIT
//! libbpf_rs_loader OBJECT FILE FUNCTION: counts the calls of a function until Ctrl-C, with libbpf-rs.
use libbpf_rs::{MapCore, MapFlags, ObjectBuilder, UprobeOpts};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    loaders::interrupted(true);
    let object = ObjectBuilder::default().open_file(&args[1])?.load()?;
    let program = object.progs_mut().find(|p| p.name() == "count_calls").ok_or("no program")?;
    let options = UprobeOpts { func_name: args[3].clone(), ..Default::default() };
    let _link = program.attach_uprobe_with_opts(-1, &args[2], 0, options)?;
    println!("ready");
    loaders::interrupted(false);
    let map = object.maps().find(|m| m.name() == "tool_counts").ok_or("no map")?;
    let value = map.lookup(&1u32.to_ne_bytes(), MapFlags::ANY)?.ok_or("no element")?;
    println!("count {}", u64::from_ne_bytes(value[..].try_into()?));
    Ok(())
}
