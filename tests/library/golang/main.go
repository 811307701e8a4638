// The library golang/groupcache, measured. `make bench FIGURES=library` runs this program beside those in the folders next to it:
//
//	local N             gets of one stored key, one after another: nanoseconds each
//	owner SELF N        listens at SELF and has loaded N keys; prints `ready`, and the calls of its getter when its input ends
//	peer OWNER N C      gets of N keys that OWNER stores, C at once, each key once: microseconds each
//	herd OWNER N        N gets at once of one key that nobody stores: milliseconds until the last one has its value
//	memory N BYTES      N stored values: the process's memory, bytes each
//	fill LIMIT N BYTES  N values through a cache of LIMIT bytes: the values held, and the process's memory above that before, bytes
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang/groupcache"
)

// The size of a value, bytes.
const value = 1024

var calls atomic.Int64

func main() {
	size := value
	if os.Args[1] == "memory" {
		size = number(3)
	}
	limit := int64(math.MaxInt64)
	if os.Args[1] == "fill" {
		limit, size = int64(number(2)), number(4)
	}
	load := func(_ context.Context, key string, to groupcache.Sink) error {
		calls.Add(1)
		if strings.HasPrefix(key, "herd") {
			time.Sleep(50 * time.Millisecond)
		}
		return to.SetBytes(bytes.Repeat([]byte("x"), size))
	}
	newGroup := func() *groupcache.Group {
		return groupcache.NewGroup("g", limit, groupcache.GetterFunc(load))
	}
	switch os.Args[1] {
	case "local":
		local(newGroup(), number(2))
	case "owner":
		own := "http://" + os.Args[2]
		groupcache.NewHTTPPool(own).Set(own)
		group := newGroup()
		for i := range number(3) {
			get(group, key(i))
		}
		calls.Store(0)
		go func() { check(http.ListenAndServe(os.Args[2], nil)) }()
		fmt.Println("ready")
		io.Copy(io.Discard, os.Stdin)
		fmt.Println(calls.Load())
	case "peer":
		groupcache.NewHTTPPool("http://asks.invalid").Set("http://" + os.Args[2])
		transport := http.DefaultTransport.(*http.Transport)
		// By default two idle connections are kept, and the others are opened anew for each get.
		transport.MaxIdleConnsPerHost = 1000
		peer(newGroup(), number(3), number(4))
	case "herd":
		groupcache.NewHTTPPool("http://asks.invalid").Set("http://" + os.Args[2])
		herd(newGroup(), number(3))
	case "memory":
		memory(newGroup(), number(2))
	case "fill":
		fill(newGroup(), number(3))
	}
}

func local(group *groupcache.Group, n int) {
	get(group, key(0))
	began := time.Now()
	for range n {
		get(group, key(0))
	}
	fmt.Println(float64(time.Since(began).Nanoseconds()) / float64(n))
}

func peer(group *groupcache.Group, n, atOnce int) {
	var next atomic.Int64
	began := time.Now()
	var askers sync.WaitGroup
	for range atOnce {
		askers.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				get(group, key(int(i)))
			}
		})
	}
	askers.Wait()
	fmt.Println(float64(time.Since(began).Microseconds()) / float64(n))
	if calls.Load() > 0 {
		panic("a key was loaded here")
	}
}

func herd(group *groupcache.Group, n int) {
	began := time.Now()
	var askers sync.WaitGroup
	for range n {
		askers.Go(func() { get(group, "herd") })
	}
	askers.Wait()
	fmt.Println(float64(time.Since(began).Microseconds()) / 1000)
}

func memory(group *groupcache.Group, n int) {
	before := resident()
	for i := range n {
		get(group, key(i))
	}
	fmt.Println(float64(resident()-before) / float64(n))
}

func fill(group *groupcache.Group, n int) {
	before := resident()
	for i := range n {
		get(group, key(i))
	}
	held := group.CacheStats(groupcache.MainCache).Items + group.CacheStats(groupcache.HotCache).Items
	fmt.Println(held, peak()-before)
}

func get(group *groupcache.Group, key string) {
	var view groupcache.ByteView
	check(group.Get(context.Background(), key, groupcache.ByteViewSink(&view)))
}

func key(i int) string { return "key-" + strconv.Itoa(i) }

// The resident memory of this process, bytes.
func resident() int {
	text, err := os.ReadFile("/proc/self/statm")
	check(err)
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	check(err)
	return pages * os.Getpagesize()
}

// The most resident memory that this process ever had, bytes.
func peak() int {
	text, err := os.ReadFile("/proc/self/status")
	check(err)
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	check(err)
	return kib * 1024
}

func number(at int) int {
	n, err := strconv.Atoi(os.Args[at])
	check(err)
	return n
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
