package resources

// Shrinker is an optional capability of a [Resource]: it keeps memory or connections for later and can do without.
type Shrinker interface {
	// Shrink gives back what is kept and not in use. It is called from any goroutine, every few seconds for as long as
	// memory is short, must not wait for clients or servers, and may return before all of it is done.
	Shrink()
}
