package cli

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"strings"
)

// TokenFile is the name of the token's file in the data folder.
const TokenFile = "admin.token"

// FindToken returns the token for at. given (--token, SLUICE_TOKEN) comes first; then the file in the folder data. When
// the folder was not named by the operator, its token goes only to this machine: a token is not shown to strangers.
// No file is no error: the open paths need no token, and the others say that one is missing.
func FindToken(at, given, data string, named bool) (string, error) {
	if given != "" {
		return strings.TrimSpace(given), nil
	}
	if !named && !local(at) {
		return "", nil
	}
	name := filepath.Join(data, TokenFile)
	raw, err := os.ReadFile(name)
	switch {
	case err == nil:
		return strings.TrimSpace(string(raw)), nil
	case os.IsNotExist(err) && !named:
		return "", nil
	}
	return "", fmt.Errorf("cannot read the token: %w", err)
}

// local reports whether at names this machine.
func local(at string) bool {
	if strings.HasPrefix(at, "unix:") {
		return true
	}
	if !strings.Contains(at, "://") {
		at = "http://" + at
	}
	u, err := url.Parse(at)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || (ip != nil && ip.IsLoopback())
}

// Author names who gives a command: the user behind sudo if there is one, and the machine.
func Author(env func(string) string) string {
	name := env("SUDO_USER")
	if name == "" {
		name = env("USER")
	}
	if name == "" {
		name = fmt.Sprintf("uid-%d", os.Getuid())
		if u, err := user.Current(); err == nil && u.Username != "" {
			name = u.Username
		}
	}
	host, err := os.Hostname()
	if err != nil {
		return name
	}
	return name + "@" + host
}
