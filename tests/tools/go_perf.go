// SPDX-License-Identifier: MIT
//
// go_perf FILE FUNCTION: sends the first argument of every call through a perf buffer and sums them up until Ctrl-C, with
// cilium/ebpf. Statically linked.
package main

import (
	"encoding/binary"
	"fmt"
	"log"
	"os"
	"os/signal"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/perf"
)

const rdi = 112 // in struct pt_regs

func main() {
	events, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.PerfEventArray})
	if err != nil {
		log.Fatal("map: ", err)
	}
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type:    ebpf.Kprobe,
		License: "GPL",
		Instructions: asm.Instructions{
			asm.LoadMem(asm.R0, asm.R1, rdi, asm.DWord),
			asm.StoreMem(asm.RFP, -8, asm.R0, asm.DWord),
			asm.LoadMapPtr(asm.R2, events.FD()),
			asm.LoadImm(asm.R3, 0xffffffff, asm.DWord),
			asm.Mov.Reg(asm.R4, asm.RFP),
			asm.Add.Imm(asm.R4, -8),
			asm.Mov.Imm(asm.R5, 8),
			asm.FnPerfEventOutput.Call(),
			asm.Mov.Imm(asm.R0, 0),
			asm.Return(),
		},
	})
	if err != nil {
		log.Fatal("program: ", err)
	}
	reader, err := perf.NewReader(events, 65536)
	if err != nil {
		log.Fatal("perf buffer: ", err)
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
	samples := make(chan uint64)
	go func() {
		for {
			record, err := reader.Read()
			if err != nil {
				close(samples)
				return
			}
			samples <- binary.LittleEndian.Uint64(record.RawSample) & 0xffffffff
		}
	}()
	fmt.Println("ready")
	var n, sum uint64
	for {
		select {
		case v := <-samples:
			n++
			sum += v
			continue
		case <-stop:
		}
		break
	}
	for waiting := true; waiting; {
		select {
		case v := <-samples:
			n++
			sum += v
		case <-time.After(200 * time.Millisecond):
			waiting = false
		}
	}
	fmt.Println("samples", n, "sum", sum)
	probe.Close()
	reader.Close()
}
