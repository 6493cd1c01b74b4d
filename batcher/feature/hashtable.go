package feature

// hashTable finds the place of a text by its hash. It is open addressed, a power of two large
// and at most half full; while it is small, an eighth, so that most texts lie where their hash says.
type hashTable struct {
	slots []hashSlot
	count int
}

// hashSlot is where a text is to be found; 0 for an empty slot.
type hashSlot struct{ hash, place uint32 }

func newHashTable() hashTable { return hashTable{slots: make([]hashSlot, 256)} }

// probe is the first slot from one on that is empty or has the hash; of a text's first one on,
// if from is its hash.
func (h *hashTable) probe(hash uint32, from int) int {
	mask := len(h.slots) - 1
	at := from & mask
	for h.slots[at].place != 0 && h.slots[at].hash != hash {
		at = (at + 1) & mask
	}
	return at
}

// put fills an empty slot, as probe gives it.
func (h *hashTable) put(at int, slot hashSlot) {
	h.slots[at] = slot
	share := 2
	if len(h.slots) < sparseSlots {
		share = 8
	}
	if h.count++; share*h.count > len(h.slots) {
		h.grow()
	}
}

// sparseSlots is how many slots a table has that is not small.
const sparseSlots = 1 << 13

func (h *hashTable) grow() {
	before := h.slots
	h.slots = make([]hashSlot, 2*len(before))
	mask := len(h.slots) - 1
	for _, s := range before {
		if s.place == 0 {
			continue
		}
		at := int(s.hash) & mask
		for h.slots[at].place != 0 {
			at = (at + 1) & mask
		}
		h.slots[at] = s
	}
}

func (h *hashTable) clear() {
	clear(h.slots)
	h.count = 0
}
