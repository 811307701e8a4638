#!/usr/bin/env bash
# golang/groupcache (2024-11-29): a key with a space is another key when a peer owns it.
#
# One would guess: the owner's getter is called with the key that the caller asked for.
# What happens: the pool writes the key into the path of a URL by the rules of a query, where a space is `+`, and reads it by the rules of a path, where
# `+` is `+`. So the getter of an owner that is a peer is asked for "two+words", and its value is given, and kept, as that of "two words". Whoever owns
# the key itself asks its getter for "two words". No error is counted: which of two values callers get depends on the ring.
# Seen:
#   owner is the caller: "two words" -> value of "two words"
#   owner is a peer:     "two words" -> value of "two+words"
#   owner is a peer:     "a/b" -> value of "a/b"
#   owner is a peer:     "1+1" -> value of "1+1"
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >go.mod <<'MOD'
module example.com/space

go 1.24

require github.com/golang/groupcache v0.0.0-20241129210726-2c02b8208cf8
MOD
cat >main.go <<'GO'
// `space owner` serves as a peer until its input ends, `space alone` owns all keys, `space` has a peer that owns them all.
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"

	"github.com/golang/groupcache"
)

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	own := "http://" + listener.Addr().String()
	pool := groupcache.NewHTTPPool(own)
	group := groupcache.NewGroup("g", 1<<20, groupcache.GetterFunc(
		func(_ context.Context, key string, to groupcache.Sink) error {
			return to.SetString(fmt.Sprintf("value of %q", key))
		}))
	go http.Serve(listener, nil)
	pool.Set(own)
	get := func(owner, key string) {
		var value string
		check(group.Get(context.Background(), key, groupcache.StringSink(&value)))
		fmt.Printf("%s %q -> %s\n", owner, key, value)
	}
	switch strings.Join(os.Args[1:], "") {
	case "owner":
		fmt.Println(own)
		io.Copy(io.Discard, os.Stdin)
	case "alone":
		get("owner is the caller:", "two words")
	default:
		peer := exec.Command(os.Args[0], "owner")
		input, err := peer.StdinPipe()
		check(err)
		output, err := peer.StdoutPipe()
		check(err)
		check(peer.Start())
		address, err := bufio.NewReader(output).ReadString('\n')
		check(err)
		pool.Set(strings.TrimSpace(address))
		for _, key := range []string{"two words", "a/b", "1+1"} {
			get("owner is a peer:    ", key)
		}
		input.Close()
		check(peer.Wait())
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
GO
go mod tidy >/dev/null 2>&1
go build -o space .
{ ./space alone; ./space; } | tee seen
diff seen - <<'SEEN'
owner is the caller: "two words" -> value of "two words"
owner is a peer:     "two words" -> value of "two+words"
owner is a peer:     "a/b" -> value of "a/b"
owner is a peer:     "1+1" -> value of "1+1"
SEEN
