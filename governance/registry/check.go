package registry

// Check parses a document without writing it. The Doc has what follows from the text: kind, labels, spec. An invalid text gives a
// *config.Errors with line and column of each problem.
func (r *Registry) Check(name string, data []byte) (Doc, error) {
	if err := checkName("resource", name); err != nil {
		return Doc{}, err
	}
	d := &document{Doc: Doc{Name: name, Text: data}}
	err := r.parse(d)
	return d.Doc, err
}
