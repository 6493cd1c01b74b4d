package recycle

import (
	"testing"

	"github.com/apache/arrow-go/v18/arrow/memory"
)

// Buffers that nobody takes any more are freed; those that are taken again and again stay.
func TestFreesWhatNobodyTakes(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
	b := New(mem, 64<<20)
	once := make([][]byte, 20)
	for i := range once {
		once[i] = b.Get(1 << 20)
	}
	for _, o := range once {
		b.Put(o)
	}
	again := b.Get(1 << 16)
	b.Put(again)
	for i := range 2 * sweepBytes >> 16 {
		taken := b.Get(1 << 16)
		if &taken[0] != &again[0] {
			t.Fatalf("round %d: another buffer was made; want the one of before", i)
		}
		b.Put(taken)
	}
	if b.Held() != 1<<16 || mem.CurrentAlloc() != 1<<16 {
		t.Errorf("%d bytes are kept, %d in use; want the buffer that is taken", b.Held(), mem.CurrentAlloc())
	}
	b.Close()
	mem.AssertSize(t, 0)
}

// What an allocator gives back is taken again, whole, though its user made it shorter.
func TestAllocator(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
	a := Allocator{New(mem, 1<<20)}
	b := memory.NewResizableBuffer(a)
	for _, size := range []int{5000, 60_000, 100} {
		b.ResizeNoShrink(size)
	}
	first := &b.Bytes()[0]
	b.Release()
	if got := a.Allocate(60_000); &got[0] != first {
		t.Error("another buffer was made; want the one that was given back")
	} else {
		a.Free(got)
	}
	small := a.Allocate(10)
	a.Free(small)
	a.Close()
	mem.AssertSize(t, 0)
}
