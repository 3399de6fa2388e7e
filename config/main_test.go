package config

import (
	"errors"
	"fmt"

	"github.com/sluice-mesh/sluice/resources"
)

// poolSettings and userSettings stand for a driver's own settings, in the forms that real drivers use.
type poolSettings struct {
	Max  int `yaml:"max,omitempty" doc:"most connections" default:"64" bounds:"1 to 10000"`
	Idle int `yaml:"idle,omitempty" doc:"idle connections that are kept" default:"8" bounds:"0 to 10000" reload:"live"`
}

type account struct {
	Name     string           `yaml:"name" doc:"user" required:"true"`
	Password resources.Secret `yaml:"password,omitempty" doc:"its password"`
}

type userSettings struct {
	account  `yaml:",inline"`
	Upstream *account `yaml:"upstream,omitempty" doc:"user towards the server"`
}

type mysqlSettings struct {
	Users     []userSettings `yaml:"users,omitempty" doc:"who may log in"`
	Pool      poolSettings   `yaml:"pool,omitempty" doc:"upstream connections"`
	MaxPacket resources.Size `yaml:"max-packet,omitempty" doc:"largest packet" default:"64MiB" bounds:"1KiB to 1GiB"`
	Version   *string        `yaml:"version,omitempty" doc:"version that is told to clients"`
}

// fakeMySQL is a kind with settings, checks of its own and no default timeout.
type fakeMySQL struct{ resources.Driver }

func (fakeMySQL) Kind() string                       { return "mysql" }
func (fakeMySQL) PolicyDefaults(p *resources.Policy) { p.IdleTimeout = resources.Duration(600e9) }
func (fakeMySQL) SettingsDoc() any                   { return mysqlDefaults() }

func mysqlDefaults() *mysqlSettings {
	return &mysqlSettings{Pool: poolSettings{Max: 64, Idle: 8}, MaxPacket: 64 << 20}
}

func (fakeMySQL) Settings(raw func(any) error) (resources.Settings, error) {
	s := mysqlDefaults()
	if err := raw(s); err != nil {
		return nil, fmt.Errorf("mysql: %w", err)
	}
	var all []error
	for i, u := range s.Users {
		if u.Upstream == nil {
			all = append(all, resources.At(fmt.Sprintf("users[%d]", i), errors.New("a user needs its upstream user")))
		}
	}
	if s.Pool.Idle > s.Pool.Max {
		all = append(all, resources.At("pool.idle", fmt.Errorf("%d is more than max, %d", s.Pool.Idle, s.Pool.Max)))
	}
	return s, errors.Join(all...)
}

// fakeRedis is a kind with few settings.
type fakeRedis struct{ resources.Driver }

type redisSettings struct {
	Password resources.Secret `yaml:"password,omitempty" doc:"of the servers"`
	Profile  string           `yaml:"profile,omitempty" doc:"how connections are shared" default:"shared" bounds:"shared, transparent"`
}

func (fakeRedis) Kind() string { return "redis" }

func (fakeRedis) Settings(raw func(any) error) (resources.Settings, error) {
	s := &redisSettings{Profile: "shared"}
	return s, raw(s)
}

// fakePlain is a kind that takes no settings and documents none.
type fakePlain struct{ resources.Driver }

func (fakePlain) Kind() string                                         { return "plain" }
func (fakePlain) Settings(func(any) error) (resources.Settings, error) { return nil, nil }

// fakeMesh is a kind whose resources share addresses and are found in registries.
type fakeMesh struct {
	resources.Driver
	resources.Sharing
}

type meshSettings struct {
	Service string `yaml:"service,omitempty" doc:"name of the service"`
}

func (*meshSettings) RegisteredAs(string, string) resources.Service { return resources.Service{} }

func (fakeMesh) Kind() string { return "mesh" }

func (fakeMesh) Settings(raw func(any) error) (resources.Settings, error) {
	s := &meshSettings{}
	return s, raw(s)
}

func (fakeMesh) Apart(a, b resources.Declared) error {
	if a.Settings.(*meshSettings).Service == b.Settings.(*meshSettings).Service {
		return errors.New("both serve the same")
	}
	return nil
}

func init() {
	resources.RegisterRegistry("zookeeper", false)
	resources.Register(fakeMesh{})
	resources.Register(fakeMySQL{})
	resources.Register(fakeRedis{})
	resources.Register(fakePlain{})
}

// officeHours stands for the settings of an own filter.
type officeHours struct {
	From  resources.Duration `yaml:"from,omitempty" doc:"start of the day" default:"9h" bounds:"0 to 24h" reload:"live"`
	Token resources.Secret   `yaml:"token,omitempty" doc:"who may override"`
}

func testOptions() Options {
	return Options{
		FilterNames: []string{"office-hours", "quiet"},
		FilterSettings: func(name string) (any, bool) {
			switch name {
			case "office-hours":
				return &officeHours{From: resources.Duration(9 * 3600e9)}, true
			case "quiet":
				return nil, true
			}
			return nil, false
		},
	}
}
