package cluster

// Who said an endpoint's weight; "" for nobody, and then it is the usual one.
const (
	weighedByConfig   = "config"
	weighedByRegistry = "registry"
	weighedByServer   = "server"
)

// weigh takes the weight that a server says of itself, 0 for none, and reports whether its share changed. What the config says goes
// before it: an operator who wrote 0 does not want calls there. It goes before a registry, which knows what the server said when
// it started. Cluster.mu is held.
func (m *Member) weigh(own int) (changed bool) {
	m.own = own
	w := int32(m.declared)
	if m.ownCounts() {
		w = int32(own)
	}
	if m.Endpoint.Weight() == w {
		return false
	}
	m.Endpoint.SetWeight(w)
	return true
}

func (m *Member) ownCounts() bool { return m.own > 0 && m.weighedBy != weighedByConfig }

// weightFrom says where the weight in force comes from.
func (m *Member) weightFrom() string {
	if m.ownCounts() {
		return weighedByServer
	}
	return m.weighedBy
}
