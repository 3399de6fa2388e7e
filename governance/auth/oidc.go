package auth

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// OIDCConfig lets people log in at an identity provider (OpenID Connect Core 1.0, authorization code flow with PKCE).
type OIDCConfig struct {
	Name     string // on the button
	Issuer   string // URL, of which /.well-known/openid-configuration is read
	ClientID string
	Secret   string
	Redirect string            // URL of /v1/oidc/callback as browsers see it
	User     string            // claim that is the name: email by default, which then must be verified
	Groups   string            // claim that lists groups: groups by default
	Roles    map[string]string // group to role; "*": whoever the provider knows
}

// OIDC is an identity provider.
type OIDC struct {
	auth   *Auth
	config OIDCConfig
	client *http.Client

	mu       sync.Mutex
	provider *oidc.Provider // guarded by mu; nil until the provider answered once
}

// providerTimeout bounds each question to the provider.
const providerTimeout = 10 * time.Second

// NewOIDC checks the configuration. The provider is asked at the first login, not before: the centre starts without it.
func (a *Auth) NewOIDC(c OIDCConfig) (*OIDC, error) {
	if c.Issuer == "" || c.ClientID == "" || c.Redirect == "" {
		return nil, errors.New("oidc: issuer, client-id and redirect are needed")
	}
	for group, role := range c.Roles {
		if err := (Grant{Role: Role(role)}).validate(); err != nil {
			return nil, fmt.Errorf("oidc: roles: %s: %w", group, err)
		}
	}
	if len(c.Roles) == 0 {
		return nil, errors.New(`oidc: roles: say which group has which role, such as {"sre": "operator"}`)
	}
	if c.User == "" {
		c.User = "email"
	}
	if c.Groups == "" {
		c.Groups = "groups"
	}
	return &OIDC{auth: a, config: c, client: &http.Client{Timeout: providerTimeout}}, nil
}

// Name is what the button says.
func (o *OIDC) Name() string {
	if o.config.Name != "" {
		return o.config.Name
	}
	return o.config.Issuer
}

func (o *OIDC) discover(ctx context.Context) (*oidc.Provider, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.provider != nil {
		return o.provider, nil
	}
	p, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), o.client), o.config.Issuer)
	if err != nil {
		return nil, fmt.Errorf("oidc: the identity provider %s: %w", o.config.Issuer, err)
	}
	o.provider = p
	return p, nil
}

func (o *OIDC) flow(p *oidc.Provider) *oauth2.Config {
	return &oauth2.Config{ClientID: o.config.ClientID, ClientSecret: o.config.Secret, RedirectURL: o.config.Redirect, Endpoint: p.Endpoint(),
		Scopes: []string{oidc.ScopeOpenID, "profile", "email", "groups"}}
}

// pending is what a browser keeps, signed, while its user is at the provider.
type pending struct {
	State    string    `json:"s"`
	Nonce    string    `json:"n"`
	Verifier string    `json:"v"`
	Ends     time.Time `json:"e"`
}

// pendingLife is how long a login at the provider may take.
const pendingLife = 10 * time.Minute

// Start returns where to send a browser, and what it must bring back besides.
func (o *OIDC) Start(ctx context.Context) (url, keep string, err error) {
	p, err := o.discover(ctx)
	if err != nil {
		return "", "", err
	}
	state := pending{State: random(), Nonce: random(), Verifier: oauth2.GenerateVerifier(), Ends: o.auth.now().Add(pendingLife).UTC()}
	data, _ := json.Marshal(state) // plain fields
	text := base64.RawURLEncoding.EncodeToString(data)
	url = o.flow(p).AuthCodeURL(state.State, oidc.Nonce(state.Nonce), oauth2.S256ChallengeOption(state.Verifier))
	return url, text + "." + o.auth.mac("login", text), nil
}

func random() string {
	var b [24]byte
	rand.Read(b[:]) // never fails: it ends the program instead
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// Finish takes what the browser brought back and returns who logged in, with the grants for the cookie.
func (o *OIDC) Finish(ctx context.Context, keep, state, code string) (*Identity, error) {
	var was pending
	if err := o.auth.open("login", keep, &was); err != nil {
		return nil, err
	}
	if state == "" || state != was.State || !o.auth.now().Before(was.Ends) {
		return nil, fmt.Errorf("this login is %w: it was begun elsewhere, or more than %s ago", ErrUnauthorized, pendingLife)
	}
	p, err := o.discover(ctx)
	if err != nil {
		return nil, err
	}
	ctx = oidc.ClientContext(ctx, o.client)
	tokens, err := o.flow(p).Exchange(ctx, code, oauth2.VerifierOption(was.Verifier))
	if err != nil {
		return nil, fmt.Errorf("this login is %w: %w", ErrUnauthorized, err)
	}
	raw, _ := tokens.Extra("id_token").(string)
	id, err := p.Verifier(&oidc.Config{ClientID: o.config.ClientID, Now: o.auth.now}).Verify(ctx, raw)
	if err != nil {
		return nil, fmt.Errorf("this login is %w: %w", ErrUnauthorized, err)
	}
	if id.Nonce != was.Nonce {
		return nil, fmt.Errorf("this login is %w: the provider's answer is for another one", ErrUnauthorized)
	}
	var claims map[string]any
	if err := id.Claims(&claims); err != nil {
		return nil, fmt.Errorf("this login is %w: %w", ErrUnauthorized, err)
	}
	return o.identity(claims)
}

// identity turns claims into a name and roles.
func (o *OIDC) identity(claims map[string]any) (*Identity, error) {
	name, _ := claims[o.config.User].(string)
	if err := checkNew(name); err != nil {
		return nil, fmt.Errorf("this login is %w: the claim %s: %w", ErrUnauthorized, o.config.User, err)
	}
	// Some providers write what is true as text; what is neither is not verified.
	if verified, said := claims["email_verified"]; o.config.User == "email" && said && verified != true && verified != "true" {
		return nil, fmt.Errorf("this login is %w: the provider has not verified the address %s", ErrUnauthorized, name)
	}
	var grants []Grant
	have := groupsOf(claims[o.config.Groups])
	for group, role := range o.config.Roles {
		if group == "*" || slices.Contains(have, group) {
			grants = append(grants, Grant{Role: Role(role)})
		}
	}
	if len(grants) == 0 {
		return nil, fmt.Errorf("%s is %w: none of its groups (%s) has a role here", name, ErrUnauthorized, strings.Join(have, ", "))
	}
	slices.SortFunc(grants, func(a, b Grant) int { return strings.Compare(string(a.Role), string(b.Role)) })
	return &Identity{Name: name, Grants: grants}, nil
}

// groupsOf reads a claim that is a list of texts, or one text.
func groupsOf(claim any) []string {
	switch v := claim.(type) {
	case string:
		return []string{v}
	case []any:
		var out []string
		for _, g := range v {
			if s, ok := g.(string); ok {
				out = append(out, s)
			}
		}
		return out
	}
	return nil
}
