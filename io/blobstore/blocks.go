package blobstore

import (
	"cmp"
	"container/list"
	"context"
	"sync"
)

// blockBytes is what is fetched and held together. Columns of a row group are often a few
// hundred KiB: larger blocks would fetch much that nobody reads.
const blockBytes = 256 << 10

// requestBlocks is how many blocks beside each other one request fetches at most: of 4 MiB,
// whose answer takes longer than its way in most networks.
const requestBlocks = 16

// gapBlocks is how many blocks that nobody asked for are fetched along, to make one
// request of two.
const gapBlocks = 1

// blocks are those of all objects of a store that are held. A block is
//
//	wanted   fetched ahead, and some of its bytes were not read yet
//	fresh    fetched for a footer a moment ago, of an object that is being opened
//	early    that no more, with rows that were not asked for yet: of a small object all that
//	         it has. Of many those that came last go first, since rows are read in the
//	         order in which objects are opened
//	idle     else: kept until another needs its memory, since columns share blocks and
//	         what is read once may be read again
//
// and in any case coming, until its bytes are there. Memory of blocks is used again and
// again, so that the collector of garbage does not see it come and go.
type blocks struct {
	mu     sync.Mutex
	budget int64 // bytes
	held   map[blockID]*block
	idle   *list.List    // of *block, least recently read first
	early  *list.List    // of *block, in the order in which they came
	fresh  *list.List    // of *block, least recently read first
	free   [][]byte      // of blockBytes each
	bytes  int64         // of blocks held, coming ones among them
	unused int64         // of those in a list
	room   chan struct{} // closed and replaced when a block becomes idle or goes
}

type blockID struct {
	object *object
	index  int64 // in the object, of blockBytes
}

type block struct {
	id     blockID
	data   []byte // shorter than blockBytes at the object's end
	ready  chan struct{}
	err    error // why it did not come; valid when ready is closed
	wanted int64 // bytes that were fetched ahead and not read
	users  int   // who fetches it, waits for it, or copies from it
	early  bool  // fetched for a footer, and not ahead
	place  *list.Element
}

func newBlocks(budget int64) *blocks {
	return &blocks{budget: max(budget, leastBlocks*blockBytes), held: map[blockID]*block{}, idle: list.New(), early: list.New(), fresh: list.New(), room: make(chan struct{})}
}

// leastBlocks is how few are of use.
const leastBlocks = 4

// most is what is held at most, in bytes.
func (c *blocks) most() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.budget
}

// bound changes that. What is held beyond it goes when it is read.
func (c *blocks) bound(bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.budget = max(bytes, leastBlocks*blockBytes)
	c.madeRoomLocked()
}

// footer says that a block was fetched for a footer, unless it is wanted besides.
func (c *blocks) footer(b *block) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b.early = b.wanted == 0
}

// get gives a block to use until put, and says whether the caller must fetch it, until
// came. urgent takes memory beyond the budget; else the block is nil where there is none.
func (c *blocks) get(id blockID, size int64, urgent bool) (b *block, mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b := c.held[id]; b != nil {
		b.users++
		c.usedLocked(b)
		return b, false
	}
	c.shrinkLocked(size)
	if c.bytes+size > c.budget && !urgent {
		return nil, false
	}
	b = &block{id: id, ready: make(chan struct{}), users: 2}
	switch n := len(c.free); {
	case size <= blockBytes/2: // of a small object
		b.data = make([]byte, size)
	case n > 0:
		b.data, c.free = c.free[n-1], c.free[:n-1]
	default:
		b.data = make([]byte, blockBytes)
	}
	b.data = b.data[:size]
	c.held[id] = b
	c.bytes += size
	return b, true
}

// have gives a block to use until put, if it is there.
func (c *blocks) have(id blockID) *block {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.held[id]
	if b == nil {
		return nil
	}
	select {
	case <-b.ready:
	default:
		return nil
	}
	b.users++
	c.usedLocked(b)
	return b
}

// hold begins another use of a block that the caller uses.
func (c *blocks) hold(b *block) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b.users++
}

// put ends a use.
func (c *blocks) put(b *block) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b.users--
	c.restLocked(b)
}

// want says that bytes of a block will be read.
func (c *blocks) want(b *block, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b.wanted += bytes
	b.early = false
}

// read says that bytes of a block were read.
func (c *blocks) read(b *block, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b.wanted = max(b.wanted-bytes, 0)
}

// done says that some bytes of a block, which may have been read, will not be any more.
func (c *blocks) done(id blockID, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b := c.held[id]; b != nil && b.wanted > 0 {
		b.wanted = max(b.wanted-bytes, 0) // too few make it idle too soon, which costs little
		c.restLocked(b)
	}
}

// came says that a block's bytes are there, or why they will not be: then it is as if it
// had never been asked for.
func (c *blocks) came(b *block, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b.err = err
	b.users--
	close(b.ready)
	if err != nil {
		b.wanted = 0
		if c.held[b.id] == b {
			delete(c.held, b.id)
			c.bytes -= int64(len(b.data))
			c.madeRoomLocked()
		}
	}
	c.restLocked(b)
}

// usedLocked takes a block off those that nobody uses.
func (c *blocks) usedLocked(b *block) {
	if b.place != nil {
		c.idle.Remove(b.place) // of the list that it is in, as these do
		c.early.Remove(b.place)
		c.fresh.Remove(b.place)
		c.unused -= int64(len(b.data))
		b.place = nil
	}
}

// restLocked puts a block that nobody uses among the others.
func (c *blocks) restLocked(b *block) {
	if b.users > 0 || b.wanted > 0 || b.place != nil || c.held[b.id] != b {
		return
	}
	if b.early {
		b.place = c.fresh.PushBack(b)
		c.settleLocked()
	} else {
		b.place = c.idle.PushBack(b)
	}
	c.unused += int64(len(b.data))
	c.shrinkLocked(0) // many were urgent
	c.madeRoomLocked()
}

// freshBlocks is how many are fresh at most: of as many small objects as are opened at a
// time.
const freshBlocks = 128

// settleLocked takes the oldest of too many fresh blocks for early.
func (c *blocks) settleLocked() {
	if c.fresh.Len() > freshBlocks {
		b := c.fresh.Remove(c.fresh.Front()).(*block)
		b.place = c.early.PushBack(b)
	}
}

// shrinkLocked drops what nobody uses until there is room for so many bytes.
func (c *blocks) shrinkLocked(room int64) {
	for c.bytes+room > c.budget {
		place := c.idle.Front()
		if place == nil {
			place = cmp.Or(c.early.Back(), c.fresh.Front())
		}
		if place == nil {
			return
		}
		c.dropLocked(place.Value.(*block))
	}
}

// dropLocked gives an unused block's memory up.
func (c *blocks) dropLocked(b *block) {
	c.usedLocked(b)
	delete(c.held, b.id)
	c.bytes -= int64(len(b.data))
	if cap(b.data) == blockBytes && c.bytes < c.budget { // what was beyond it goes for good
		c.free = append(c.free, b.data[:blockBytes])
	}
	c.madeRoomLocked()
}

func (c *blocks) madeRoomLocked() {
	close(c.room)
	c.room = make(chan struct{})
}

// waitForRoom waits until there is room for a request of the usual size: who asks for each
// block as it becomes free makes many small ones.
func (c *blocks) waitForRoom(ctx context.Context) error {
	for {
		c.mu.Lock()
		room, enough := c.room, c.roomyLocked()
		c.mu.Unlock()
		if enough {
			return nil
		}
		select {
		case <-room:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// roomy says whether there is room for a request of the usual size.
func (c *blocks) roomy() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.roomyLocked()
}

func (c *blocks) roomyLocked() bool {
	return c.budget-c.bytes+c.unused >= min(requestBlocks*blockBytes, c.budget/leastBlocks)
}

// forget drops all blocks of an object that are not in use.
func (c *blocks) forget(o *object) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, b := range c.held {
		if id.object == o && b.users == 0 {
			b.wanted = 0
			c.dropLocked(b)
		}
	}
}
