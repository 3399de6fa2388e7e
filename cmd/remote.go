package cmd

import (
	"github.com/sluice-mesh/sluice/internal/cli"
)

// remote are the flags of verbs that speak to an agent or a centre.
type remote struct {
	At    string `help:"Agent or centre to speak to: http://HOST:PORT or unix:/PATH." env:"SLUICE_AT" default:"${at}" placeholder:"URL"`
	Token string `help:"Admin token; default: the file admin.token in the data folder." env:"SLUICE_TOKEN" placeholder:"TOKEN"`
	Data  string `help:"Data folder of the agent; default: ./data." env:"SLUICE_DATA" placeholder:"FOLDER"`
}

// client returns a client with its token. Close it.
func (r *remote) client() (*cli.Client, error) {
	data, named := r.Data, r.Data != ""
	if !named {
		data = "data"
	}
	token, err := cli.FindToken(r.At, r.Token, data, named)
	if err != nil {
		return nil, err
	}
	return cli.NewClient(r.At, token)
}

// with runs f with a client.
func (r *remote) with(f func(*cli.Client) error) error {
	c, err := r.client()
	if err != nil {
		return err
	}
	defer c.Close()
	return f(c)
}

// style returns what standard output can show.
func (h *host) style() cli.Style { return cli.StyleOf(h.stdout, h.env) }
