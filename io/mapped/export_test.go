package mapped

// HugeFaults is hugeFaults, for tests of other packages' view.
func HugeFaults() bool { return hugeFaults() }
