// SPDX-License-Identifier: MIT

// A Go program that keeps its collector busy, grows its stacks, panics and recovers, and is preempted and profiled by
// signals. Protocol of tests/victims: a line per command, answered by "done".
//
//	run WORKERS ROUNDS   works; the result must be what it was the first time
//	count 0|1            whether calls of this program's own functions are to be told
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/pprof"
	"sort"
	"strings"
	"sync/atomic"
)

type node struct {
	left, right *node
	key         int
	pad         [5]int
}

var leaves, adds int64

//go:noinline
func build(depth int) *node {
	if depth == 0 {
		return nil
	}
	return &node{build(depth - 1), build(depth - 1), depth, [5]int{1, 2, 3, 4, depth}}
}

//go:noinline
func sum(n *node) int {
	if n == nil {
		return 0
	}
	return n.key + n.pad[4] + sum(n.left) + sum(n.right)
}

// Grows the stack again and again.
//
//go:noinline
func deep(n int, a [16]int) int {
	if n == 0 {
		return a[3]
	}
	a[n%16] += n
	return deep(n-1, a) + a[0]
}

// No frame and no room for one: what faults is its first instruction.
//
//go:noinline
func leaf(p *int) int { return *p }

//go:noinline
func caught(p *int) (r int) {
	defer func() {
		if recover() != nil {
			r = -1
		}
	}()
	return leaf(p)
}

// More arguments than there are registers for them.
//
//go:noinline
func add(a, b, c, d, e, f, g, h, i, j, k int, x, y float64) int {
	return a + 2*b + 3*c + 4*d + 5*e + 6*f + 7*g + 8*h + 9*i + 10*j + 11*k + int(x*2+y*3)
}

func worker(id, rounds int, out chan<- int) {
	total := 0
	for i := 0; i < rounds; i++ {
		total += sum(build(6)) + deep(300, [16]int{id, i}) + caught(nil) + caught(&id)
		total += add(i, i, i, i, i, i, i, i, i, i, i, float64(i), float64(id))
		words := strings.Split(strings.Repeat("go on ", 20), " ")
		sort.Strings(words)
		total += len(words) + len(fmt.Sprintf("%d %s %v", i, words[3], float64(id)))
		if i%8 == 0 {
			runtime.Gosched()
		}
	}
	atomic.AddInt64(&leaves, int64(2*rounds))
	atomic.AddInt64(&adds, int64(rounds))
	out <- total
}

func run(workers, rounds int) int {
	out := make(chan int)
	total := 0
	for w := 0; w < workers; w++ {
		go worker(w, rounds, out)
	}
	for w := 0; w < workers; w++ {
		total += <-out
	}
	return total
}

func main() {
	first := map[string]int{}
	counting := 0
	in := bufio.NewScanner(os.Stdin)
	if err := pprof.StartCPUProfile(io.Discard); err != nil {
		fmt.Println("# no profile:", err)
	}
	fmt.Println("ready", os.Getpid())
	for in.Scan() {
		var workers, rounds int
		line := in.Text()
		if n, _ := fmt.Sscanf(line, "count %d", &counting); n == 1 {
			leaves, adds = 0, 0
		} else if n, _ := fmt.Sscanf(line, "run %d %d", &workers, &rounds); n == 2 {
			got := run(workers, rounds)
			if want, known := first[line]; known && want != got {
				fmt.Println("wrong result:", got, "instead of", want)
			}
			first[line] = got
			if counting == 1 {
				fmt.Println("count main.leaf", leaves, leaves, leaves/2, leaves/2) // half of them panic
				fmt.Println("count main.add", adds, adds, adds, adds)
				fmt.Println("count main.caught", leaves, 2*leaves, leaves, leaves) // a call that grows the stack enters twice
			}
		} else {
			fmt.Println("unknown:", line)
		}
		fmt.Println("done")
	}
	pprof.StopCPUProfile()
}
