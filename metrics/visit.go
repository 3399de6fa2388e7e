package metrics

// EachCounter calls visit for every counter of the resource, by name and labels; labels are without `resource`. Who
// remembers what a counter held remembers it by c: a counter that was forgotten and made again is another one. What
// visit gets must not be changed. No lock is held during visits.
func (m *Resource) EachCounter(visit func(name string, labels []Label, c *Counter)) {
	for _, s := range m.seriesList() {
		if s.counter != nil {
			visit(s.family.name, s.labels[1:], s.counter)
		}
	}
}

// EachGauge is EachCounter for gauges, with their values.
func (m *Resource) EachGauge(visit func(name string, labels []Label, value float64)) {
	for _, s := range m.seriesList() {
		if s.counter != nil {
			continue
		}
		m.registry.mu.Lock()
		value := s.value
		m.registry.mu.Unlock()
		if value != nil {
			visit(s.family.name, s.labels[1:], value())
		} else {
			visit(s.family.name, s.labels[1:], float64(s.gauge.Load()))
		}
	}
}

func (m *Resource) seriesList() []*series {
	m.registry.mu.Lock()
	defer m.registry.mu.Unlock()
	return m.scope.list()
}
