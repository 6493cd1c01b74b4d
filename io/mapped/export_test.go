package mapped

// MostBlocks is mostBlocks.
const MostBlocks = mostBlocks

// Unviewed is how many blocks wait to be dropped.
func Unviewed() int {
	unviewed.Lock()
	defer unviewed.Unlock()
	return len(unviewed.blocks)
}

// HugeFaults is hugeFaults, for tests of other packages' view.
func HugeFaults() bool { return hugeFaults() }
