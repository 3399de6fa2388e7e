package governance

import (
	"fmt"
	"os"
	"time"

	"github.com/sluice-mesh/sluice/config"
	"github.com/sluice-mesh/sluice/resources"
)

// Config is the centre's file. The tags are those of [resources.Spec]. Without a file everything has its default.
type Config struct {
	Listen     string           `yaml:"listen,omitempty" json:"listen" doc:"where the pages, the API and the agents' links are: host:port" default:"127.0.0.1:9980" reload:"restart"`
	Data       string           `yaml:"data,omitempty" json:"data" doc:"folder of the store, the sealing key, the admin token and the history of metrics" default:"./center" reload:"restart"`
	Name       string           `yaml:"name,omitempty" json:"name" doc:"of this process, when there are several" default:"the host's name" reload:"restart"`
	Address    string           `yaml:"address,omitempty" json:"address,omitempty" doc:"where the other centres of one etcd reach this one: host:port" default:"that of listen; where it names no host, the host's name" reload:"restart"`
	Hosts      []string         `yaml:"hosts,omitempty" json:"hosts,omitempty" doc:"names, beside addresses and localhost, by which browsers reach it" reload:"restart"`
	Insecure   bool             `yaml:"insecure-http,omitempty" json:"insecure-http" doc:"serve plain HTTP to other machines too: only behind a proxy that does TLS" default:"false" reload:"restart"`
	Etcd       *EtcdConfig      `yaml:"etcd,omitempty" json:"etcd,omitempty" doc:"keep everything in an etcd cluster, for several centres; none: in one file in the data folder" reload:"restart"`
	OIDC       *OIDCConfig      `yaml:"oidc,omitempty" json:"oidc,omitempty" doc:"let people log in at an identity provider" reload:"restart"`
	Graphite   *GraphiteConfig  `yaml:"graphite,omitempty" json:"graphite,omitempty" doc:"where history that is older than the centre's own 14 days is read" reload:"restart"`
	Protection ProtectionConfig `yaml:"protection,omitempty" json:"protection" doc:"how fast a group may lose endpoints that agents registered" reload:"restart"`
	Log        config.LogConfig `yaml:"log,omitempty" json:"log" doc:"the centre's own log, on stderr" reload:"restart"`
}

// EtcdConfig is an etcd cluster.
type EtcdConfig struct {
	Endpoints []string             `yaml:"endpoints" json:"endpoints" doc:"URLs of its members" required:"true" reload:"restart"`
	Prefix    string               `yaml:"prefix,omitempty" json:"prefix" doc:"put before every key" default:"sluice/" reload:"restart"`
	User      string               `yaml:"user,omitempty" json:"user,omitempty" doc:"user of etcd" reload:"restart"`
	Password  resources.Secret     `yaml:"password,omitempty" json:"password,omitempty" doc:"its password" reload:"restart"`
	TLS       *resources.ClientTLS `yaml:"tls,omitempty" json:"tls,omitempty" doc:"TLS towards etcd" reload:"restart"`
}

// OIDCConfig is an identity provider (OpenID Connect).
type OIDCConfig struct {
	Name     string            `yaml:"name,omitempty" json:"name,omitempty" doc:"on the button of the login page" reload:"restart"`
	Issuer   string            `yaml:"issuer" json:"issuer" doc:"URL of the provider" required:"true" reload:"restart"`
	ClientID string            `yaml:"client-id" json:"client-id" doc:"what the provider calls the centre" required:"true" reload:"restart"`
	Secret   resources.Secret  `yaml:"client-secret,omitempty" json:"client-secret,omitempty" doc:"the secret that goes with it" reload:"restart"`
	Redirect string            `yaml:"redirect" json:"redirect" doc:"URL of /v1/oidc/callback as browsers reach it" required:"true" reload:"restart"`
	User     string            `yaml:"user-claim,omitempty" json:"user-claim,omitempty" doc:"claim that is the user's name" default:"email" reload:"restart"`
	Groups   string            `yaml:"groups-claim,omitempty" json:"groups-claim,omitempty" doc:"claim that lists the user's groups" default:"groups" reload:"restart"`
	Roles    map[string]string `yaml:"roles" json:"roles" doc:"role for each group; * is for everybody whom the provider knows" required:"true" reload:"restart"`
}

// GraphiteConfig is a Graphite web application, which agents feed.
type GraphiteConfig struct {
	URL    string `yaml:"url" json:"url" doc:"of the web application, such as http://graphite:8080" required:"true" reload:"restart"`
	Prefix string `yaml:"prefix,omitempty" json:"prefix,omitempty" doc:"what agents put before every name (agent.metrics.graphite.prefix)" reload:"restart"`
}

// ProtectionConfig bounds how fast endpoints disappear.
type ProtectionConfig struct {
	Share  resources.Percent  `yaml:"share,omitempty" json:"share" doc:"most of a group that may go within the window" default:"40%" bounds:"0% to 100%" reload:"restart"`
	Window resources.Duration `yaml:"window,omitempty" json:"window" doc:"length of the window" default:"1m" bounds:"1s to 1h" reload:"restart"`
	Grace  resources.Duration `yaml:"grace,omitempty" json:"grace" doc:"how long endpoints stay when the link of their agent is gone" default:"30s" bounds:"0 to 1h" reload:"restart"`
}

// DefaultConfig is a centre without a file.
func DefaultConfig() Config {
	return Config{
		Listen: "127.0.0.1:9980", Data: "./center",
		Protection: ProtectionConfig{Share: 40, Window: resources.Duration(time.Minute), Grace: resources.Duration(30 * time.Second)},
		Log:        config.LogConfig{Level: "info", Format: "text"},
	}
}

// file is the whole schema.
type file struct {
	Center Config `yaml:"center,omitempty" doc:"the centre itself"`
}

// LoadConfig reads and checks a file. An error that is not from reading it is of type [*config.Errors] and holds every problem.
func LoadConfig(path string) (Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("config: %w", err)
	}
	return parseConfig(path, data)
}

// parseConfig reads and checks the text of a file.
func parseConfig(path string, data []byte) (Config, error) {
	f := file{Center: DefaultConfig()}
	if err := config.Decode(path, data, &f); err != nil {
		return Config{}, err
	}
	return f.Center, nil
}
