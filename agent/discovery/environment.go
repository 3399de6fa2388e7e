package discovery

import (
	"crypto/tls"
	"fmt"
	"os"
	"strconv"

	"github.com/sluice-mesh/sluice/resources"
)

// TLSVariables name the environment variables with which a registry's own programs are told of TLS; "": it has none. CA, Cert and Key
// hold the paths of PEM files.
type TLSVariables struct {
	CA, Cert, Key, ServerName string
	Verify                    string // false: any certificate is accepted
}

// EnvTLS returns how to speak TLS to a registry, by what the environment says: nil for none, which is where on is false and no
// variable with a file is set. An error names the variables and what is wrong with what they hold.
func EnvTLS(v TLSVariables, on bool) (*tls.Config, error) {
	t := resources.ClientTLS{CA: os.Getenv(v.CA), Cert: os.Getenv(v.Cert), Key: os.Getenv(v.Key), ServerName: os.Getenv(v.ServerName)}
	if !on && t.CA == "" && t.Cert == "" && t.Key == "" {
		return nil, nil
	}
	if v.Verify != "" {
		verify, err := EnvBool(v.Verify, true)
		if err != nil {
			return nil, err
		}
		t.Insecure = !verify
	}
	c, err := t.Config()
	if err != nil {
		return nil, fmt.Errorf("the environment (%s, %s, %s): %w", v.CA, v.Cert, v.Key, err)
	}
	return c, nil
}

// EnvBool returns what an environment variable says, or what holds where it is not set.
func EnvBool(name string, otherwise bool) (bool, error) {
	text := os.Getenv(name)
	if text == "" {
		return otherwise, nil
	}
	b, err := strconv.ParseBool(text)
	if err != nil {
		return false, fmt.Errorf("the environment: %s is %q: write true or false", name, text)
	}
	return b, nil
}
