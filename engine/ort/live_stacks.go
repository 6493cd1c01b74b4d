//go:build invariants

package ort

import (
	"runtime/debug"
	"sync"
)

var stacks sync.Map // object -> where it was made

func opened(object any) { stacks.Store(object, string(debug.Stack())) }
func closed(object any) { stacks.Delete(object) }

// LiveStacks gives the stack that made each session and tensor still open.
func LiveStacks() (all []string) {
	stacks.Range(func(_, stack any) bool {
		all = append(all, stack.(string))
		return true
	})
	return all
}
