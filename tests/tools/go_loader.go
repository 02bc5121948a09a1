// SPDX-License-Identifier: MIT
//
// go_loader FILE FUNCTION: counts the calls of a function until Ctrl-C, with cilium/ebpf. Statically linked.
package main

import (
	"fmt"
	"log"
	"os"
	"os/signal"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
)

func main() {
	counts, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	if err != nil {
		log.Fatal("map: ", err)
	}
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type:    ebpf.Kprobe,
		License: "GPL",
		Instructions: asm.Instructions{
			asm.StoreImm(asm.RFP, -4, 0, asm.Word),
			asm.LoadMapPtr(asm.R1, counts.FD()),
			asm.Mov.Reg(asm.R2, asm.RFP),
			asm.Add.Imm(asm.R2, -4),
			asm.FnMapLookupElem.Call(),
			asm.JEq.Imm(asm.R0, 0, "out"),
			asm.Mov.Imm(asm.R1, 1),
			asm.StoreXAdd(asm.R0, asm.R1, asm.DWord),
			asm.Mov.Imm(asm.R0, 0).Sym("out"),
			asm.Return(),
		},
	})
	if err != nil {
		log.Fatal("program: ", err)
	}
	file, err := link.OpenExecutable(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	probe, err := file.Uprobe(os.Args[2], prog, nil)
	if err != nil {
		log.Fatal("uprobe: ", err)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt)
	fmt.Println("ready")
	<-stop
	var n uint64
	if err := counts.Lookup(uint32(0), &n); err != nil {
		log.Fatal("lookup: ", err)
	}
	fmt.Println("count", n)
	probe.Close()
}
