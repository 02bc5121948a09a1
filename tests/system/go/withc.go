// SPDX-License-Identifier: MIT

// A Go program with C in it: calls into C, calls back into Go from C, from threads that Go did not make too, a panic that
// passes C, stacks that grow in between. Protocol as in busy.go.
package main

/*
#cgo LDFLAGS: -lpthread
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

extern int goBack(int, int);

static int __attribute__((noinline)) c_add(int a, int b) { return a * 3 + b; }

static int __attribute__((noinline)) c_through(int depth, int x) {
	char room[256];
	for (int i = 0; i < 256; i++)
		room[i] = (char)(x + i);
	return goBack(depth, x) + room[x & 255] - (char)(x + (x & 255));
}

static void *c_thread(void *arg) {
	intptr_t sum = 0;
	for (int i = 0; i < 50; i++)
		sum += c_through(3, i);
	return (void *)sum;
}

static int __attribute__((noinline)) c_threads(int n) {
	pthread_t t[8];
	intptr_t sum = 0, one;
	for (int i = 0; i < n; i++)
		pthread_create(&t[i], NULL, c_thread, NULL);
	for (int i = 0; i < n; i++) {
		pthread_join(t[i], (void **)&one);
		sum += one;
	}
	return (int)sum;
}
*/
import "C"

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
)

var adds int64

//go:noinline
func deep(n int, a [16]int) int {
	if n == 0 {
		return a[3]
	}
	a[n%16] += n
	return deep(n-1, a) + a[0]
}

//export goBack
func goBack(depth, x C.int) C.int {
	if depth == 0 {
		return C.int(deep(int(x)%40, [16]int{int(x)}))
	}
	return C.c_through(depth-1, x+1) + 1
}


//go:noinline
func add(a, b int) int { return int(C.c_add(C.int(a), C.int(b))) }

//go:noinline
func caught(x int) (r int) {
	defer func() {
		if v := recover(); v != nil {
			r = v.(int)
		}
	}()
	if x%3 == 0 {
		panic(x)
	}
	return int(C.c_through(2, C.int(x)))
}

func worker(id, rounds int, out chan<- int) {
	total := 0
	var garbage [][]byte
	for i := 0; i < rounds; i++ {
		total += add(i, id) + caught(i) + deep(200, [16]int{id, i}) + int(C.c_through(4, C.int(i)))
		garbage = append(garbage, make([]byte, 512+i))
		if i%16 == 0 {
			garbage = nil
			runtime.Gosched()
			total += len(fmt.Sprint(i, id))
		}
	}
	total += int(C.c_threads(2))
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
	fmt.Println("ready", os.Getpid())
	for in.Scan() {
		var workers, rounds int
		line := in.Text()
		if n, _ := fmt.Sscanf(line, "count %d", &counting); n == 1 {
			adds = 0
		} else if n, _ := fmt.Sscanf(line, "run %d %d", &workers, &rounds); n == 2 {
			got := run(workers, rounds)
			if want, known := first[line]; known && want != got {
				fmt.Println("wrong result:", got, "instead of", want)
			}
			first[line] = got
			if counting == 1 {
				fmt.Println("count main.add", adds, 2*adds, adds, adds)
				fmt.Println("count c_add", adds, adds, adds, adds)
			}
		} else {
			fmt.Println("unknown:", line)
		}
		fmt.Println("done")
	}
}
