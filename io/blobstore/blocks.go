package blobstore

import (
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
//	idle     else: kept until another needs its memory, since columns share blocks and
//	         what is read once may be read again
//
// and in either case coming, until its bytes are there. Memory of blocks is used again and
// again, so that the collector of garbage does not see it come and go.
type blocks struct {
	mu     sync.Mutex
	budget int64 // blocks
	held   map[blockID]*block
	idle   *list.List // of *block, least recently read first
	free   [][]byte
	count  int64         // blocks held, coming ones among them
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
	place  *list.Element
}

func newBlocks(budget int64) *blocks {
	return &blocks{budget: max(budget/blockBytes, leastBlocks), held: map[blockID]*block{}, idle: list.New(), room: make(chan struct{})}
}

// leastBlocks is how few are of use.
const leastBlocks = 4

// bytes is what is held at most.
func (c *blocks) bytes() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.budget * blockBytes
}

// bound changes that. What is held beyond it goes when it is read.
func (c *blocks) bound(bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.budget = max(bytes/blockBytes, leastBlocks)
	c.madeRoomLocked()
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
	for c.count >= c.budget && c.idle.Len() > 0 {
		c.dropLocked(c.idle.Front().Value.(*block))
	}
	if c.count >= c.budget && !urgent {
		return nil, false
	}
	b = &block{id: id, ready: make(chan struct{}), users: 2}
	if n := len(c.free); n > 0 {
		b.data, c.free = c.free[n-1], c.free[:n-1]
	} else {
		b.data = make([]byte, blockBytes)
	}
	b.data = b.data[:size]
	c.held[id] = b
	c.count++
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
			c.count--
			c.madeRoomLocked()
		}
	}
	c.restLocked(b)
}

// usedLocked takes a block off the idle ones.
func (c *blocks) usedLocked(b *block) {
	if b.place != nil {
		c.idle.Remove(b.place)
		b.place = nil
	}
}

// restLocked puts a block that nobody uses among the idle ones.
func (c *blocks) restLocked(b *block) {
	if b.users > 0 || b.wanted > 0 || b.place != nil || c.held[b.id] != b {
		return
	}
	b.place = c.idle.PushBack(b)
	for c.count > c.budget && c.idle.Len() > 0 { // many were urgent
		c.dropLocked(c.idle.Front().Value.(*block))
	}
	c.madeRoomLocked()
}

// dropLocked gives an idle block's memory up.
func (c *blocks) dropLocked(b *block) {
	c.usedLocked(b)
	delete(c.held, b.id)
	c.count--
	if c.count < c.budget { // what was beyond it goes for good
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
		room, free := c.room, c.budget-c.count+int64(c.idle.Len())
		enough := min(requestBlocks, c.budget/leastBlocks)
		c.mu.Unlock()
		if free >= enough {
			return nil
		}
		select {
		case <-room:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
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
