package link

import (
	"crypto/tls"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Names of the files.
const (
	keyFile  = "agent.key"
	certFile = "agent.crt"
	caFile   = "ca.crt"
	next     = ".next"
)

// files keeps key and certificates in a folder. Replacing the certificate is the moment from which a new set counts: before
// it the new key and authority wait under other names, and after it a start that was interrupted finds the certificate
// to go with them.
type files struct{ dir string }

func (f files) path(name string) string { return filepath.Join(f.dir, name) }

// load reads what was saved last. All are nil when nothing was.
func (f files) load() (key, cert, ca []byte, err error) {
	if cert, err = f.read(certFile); cert == nil || err != nil {
		return nil, nil, nil, err
	}
	if waiting, err := f.read(keyFile + next); err != nil {
		return nil, nil, nil, err
	} else if waiting != nil {
		if _, err := tls.X509KeyPair(cert, waiting); err == nil {
			if err := f.settle(); err != nil {
				return nil, nil, nil, err
			}
		}
	}
	if key, err = f.read(keyFile); err != nil {
		return nil, nil, nil, err
	}
	ca, err = f.read(caFile)
	return key, cert, ca, err
}

// read returns a file's content, nil when there is none.
func (f files) read(name string) ([]byte, error) {
	data, err := os.ReadFile(f.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// save replaces all three. On an error what was saved before is still what load finds, or the new set is.
func (f files) save(key, cert, ca []byte) error {
	for _, w := range []struct {
		name string
		data []byte
	}{{keyFile + next, key}, {caFile + next, ca}, {certFile, cert}} {
		if err := f.write(w.name, w.data); err != nil {
			return err
		}
	}
	return f.settle()
}

// settle gives what waits its name; the key comes last, as the sign that it is done.
func (f files) settle() error {
	for _, name := range []string{caFile, keyFile} {
		err := os.Rename(f.path(name+next), f.path(name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return f.sync()
}

// write makes a file appear whole or not at all.
func (f files) write(name string, data []byte) error {
	tmp := f.path(name + ".tmp")
	out, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = out.Write(data)
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err == nil {
		err = os.Rename(tmp, f.path(name))
	}
	if err != nil {
		os.Remove(tmp)
		return err
	}
	return f.sync()
}

func (f files) sync() error {
	d, err := os.Open(f.dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
