// SPDX-License-Identifier: MIT

// Functions that follow pointers, and what becomes of them when a pointer is nil: a panic that knows its line. Protocol of
// tests/victims:
//
//	run N    all of them, N times, with every pointer and with nil; all must be what it was the first time
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strings"
)

type thing struct {
	a, b, c int64
	next    *thing
	arr     [4]int32
	f       float64
	small   byte
	list    []int
	text    string
	far     [600]int64
}

type doer interface{ do(int) int }

func (t *thing) do(n int) int { return int(t.b) + n }

var sink int64

// Gives its callers a frame.
//
//go:noinline
func touch(x int64) int64 { sink += x & 1; return x + 1 }

//go:noinline
func nilFields(p *thing) int64 {
	x := touch(3)
	x += p.a
	x += p.b * p.c
	return x + int64(p.arr[2]) + touch(p.a)
}

//go:noinline
func nilChain(p *thing) int64 {
	x := touch(1)
	q := p.next
	x += q.a
	return x + p.next.next.b + q.next.c
}

//go:noinline
func nilStores(p, q *thing) {
	touch(2)
	p.a, q.b = q.c, p.b
	p.next = q.next
	q.text = p.text
	q.small ^= 1
	p.c++
}

//go:noinline
func nilIndex(p *thing, i int) int64 {
	x := touch(int64(i))
	x += int64(p.arr[i&3])
	return x + p.far[599-i] + p.far[i]
}

//go:noinline
func nilFloats(p *thing, y float64) float64 {
	touch(4)
	return p.f*y + float64(p.small) + float64(p.a)
}

//go:noinline
func nilTwice(p **thing) int64 {
	touch(5)
	x := *p
	y := x.a
	*p = x.next
	return y + (*p).b
}

//go:noinline
func nilSlice(p *thing) int {
	touch(6)
	return len(p.text) + cap(p.list) + p.list[1] + int(p.text[0])
}

//go:noinline
func nilLoop(p *thing, n int) (r int64) {
	for i := 0; i < n; i++ {
		r += touch(p.a)
		p = p.next
		r += p.b
	}
	return
}

//go:noinline
func nilFunc(f func(int64) int64) int64 { return f(touch(7)) + 1 }

//go:noinline
func nilCall(d doer) int { return d.do(int(touch(8))) + 1 }

//go:noinline
func nilCopy(p, q *thing) int64 {
	touch(9)
	t := *p
	*q = t
	return t.a + q.b
}

//go:noinline
func nilBranch(p, q *thing, b bool) (r int64) {
	touch(10)
	if b {
		r = p.a
		p = q
	}
	r += p.b
	if q != nil {
		r += q.c
	}
	return r + p.c
}

// What f gives, or where it panics.
func outcome(f func() int64) (r string) {
	defer func() {
		if e := recover(); e != nil {
			pcs := make([]uintptr, 32)
			frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
			r = fmt.Sprint(e)
			for {
				f, more := frames.Next()
				if strings.HasPrefix(f.Function, "main.nil") || strings.HasPrefix(f.Function, "main.touch") {
					r += fmt.Sprintf(" %s:%d", f.Function, f.Line)
				}
				if !more {
					break
				}
			}
		}
	}()
	return fmt.Sprint(f())
}

func all() string {
	chain := func(n int) *thing {
		var t *thing
		for i := 0; i < n; i++ {
			t = &thing{a: int64(i + 1), b: 7, c: int64(i * i), next: t, f: 1.5, small: 3, list: []int{1, 2, 3}, text: "abc"}
		}
		return t
	}
	var out []string
	for n := 0; n < 5; n++ {
		for i := 0; i < 2; i++ {
			n, i := n, i
			other := chain(4 * i)
			var d doer
			var fn func(int64) int64
			if n > 1 {
				d, fn = chain(n-2), touch
			}
			for _, f := range []func() int64{
				func() int64 { return nilFields(chain(n)) },
				func() int64 { return nilChain(chain(n)) },
				func() int64 { nilStores(chain(n), other); return 1 },
				func() int64 { nilStores(other, chain(n)); return 2 },
				func() int64 { return nilIndex(chain(n), i) },
				func() int64 { return int64(nilFloats(chain(n), 2.5)) },
				func() int64 { p := chain(n); return nilTwice(&p) },
				func() int64 { return nilTwice(nil) },
				func() int64 { return int64(nilSlice(chain(n))) },
				func() int64 { return nilLoop(chain(n), 3) },
				func() int64 { return nilFunc(fn) },
				func() int64 { return int64(nilCall(d)) },
				func() int64 { return nilCopy(chain(n), other) },
				func() int64 { return nilCopy(other, chain(n)) },
				func() int64 { return nilBranch(chain(n), other, i == 0) },
				func() int64 { return nilBranch(other, chain(n), n&1 == 0) },
			} {
				out = append(out, outcome(f))
			}
		}
	}
	return strings.Join(out, "; ")
}

func main() {
	first := ""
	in := bufio.NewScanner(os.Stdin)
	fmt.Println("ready", os.Getpid())
	for in.Scan() {
		var n int
		if k, _ := fmt.Sscanf(in.Text(), "run %d", &n); k != 1 {
			fmt.Println("unknown:", in.Text())
		}
		for i := 0; i < n; i++ {
			got := all()
			if first == "" {
				first = got
				fmt.Println("#", strings.Count(got, "nil pointer"), "panics in", strings.Count(got, ";")+1, "calls")
			} else if got != first {
				fmt.Println("wrong result:", got)
			}
		}
		fmt.Println("done")
	}
}
