package auth

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/governance/store"
	"github.com/sluice-mesh/sluice/protocols/control"
	"github.com/sluice-mesh/sluice/resources"
)

// Join is a token by which agents join the mesh. Its secret is not kept.
type Join struct {
	ID       string    `json:"id"`
	Agent    string    `json:"agent,omitempty"` // names that may join by it, with * for any run of characters; "": any
	Left     int       `json:"left"`            // agents that may still join by it
	Hash     []byte    `json:"hash,omitempty"`
	Author   string    `json:"author"`
	Created  time.Time `json:"created"`
	Expires  time.Time `json:"expires"`
	Revision int64     `json:"revision"`
}

// Bounds of join tokens.
const (
	DefaultJoinLife = time.Hour
	MaxJoinLife     = 30 * 24 * time.Hour
	MaxJoinUses     = 100_000
)

const joinPrefix = "sluice-join."

// AddJoin makes a join token for some agents and returns it with its text, which is shown this once.
func (a *Auth) AddJoin(ctx context.Context, agent string, uses int, life time.Duration, author string) (Join, string, error) {
	if life == 0 {
		life = DefaultJoinLife
	}
	if uses == 0 {
		uses = 1
	}
	if life < 0 || life > MaxJoinLife {
		return Join{}, "", fmt.Errorf("join token: for %s: use up to %s", life, MaxJoinLife)
	}
	if uses < 0 || uses > MaxJoinUses {
		return Join{}, "", fmt.Errorf("join token: %d uses: use 1 to %d", uses, MaxJoinUses)
	}
	if err := checkPatterns(agent); err != nil {
		return Join{}, "", fmt.Errorf("join token: agent: %w", err)
	}
	id, text, hash := secret()
	now := a.now().UTC()
	j := Join{ID: id, Agent: agent, Left: uses, Hash: hash, Author: author, Created: now, Expires: now.Add(life)}
	rev, err := a.put(ctx, "joins/"+id, j, 0)
	j.Revision, j.Hash = rev, nil
	return j, joinPrefix + id + "." + text + "." + a.ca.Hash(), err
}

// checkPatterns says which of several patterns, separated by commas, no agent's name can match. "" is for all agents.
func checkPatterns(patterns string) error {
	if patterns == "" {
		return nil
	}
	for p := range strings.SplitSeq(patterns, ",") {
		if err := checkName(strings.ReplaceAll(strings.TrimSpace(p), "*", "x")); err != nil {
			return fmt.Errorf("no agent can be called as %.40q, since %w: write names such as web-1 or feed-*, with commas between", p, err)
		}
	}
	return nil
}

// Joins lists join tokens, without hashes.
func (a *Auth) Joins(ctx context.Context) ([]Join, error) {
	return list[Join](ctx, a.store, "joins/", func(j *Join, rev int64) { j.Revision, j.Hash = rev, nil })
}

// DeleteJoin ends one, by its id. Agents that joined by it stay.
func (a *Auth) DeleteJoin(ctx context.Context, id string) error { return a.delete(ctx, "joins/"+id) }

// Join gives an agent its first certificate. The use of the token is on record before the certificate leaves.
func (a *Auth) Join(ctx context.Context, bearer string, r control.JoinRequest) (control.JoinAnswer, error) {
	if err := checkName(r.Name); err != nil {
		return control.JoinAnswer{}, fmt.Errorf("join: %w", err)
	}
	rest, ok := strings.CutPrefix(bearer, joinPrefix)
	parts := strings.Split(rest, ".")
	if !ok || len(parts) != 3 || checkName(parts[0]) != nil {
		return control.JoinAnswer{}, fmt.Errorf("join: this is %w: a join token begins with %s", ErrUnauthorized, joinPrefix)
	}
	if _, err := a.joinToken(ctx, parts[0], parts[1], r.Name); err != nil {
		return control.JoinAnswer{}, err
	}
	answer, err := a.certify(ctx, r)
	if err != nil {
		return answer, err
	}
	select { // a crowd at one centre takes turns, so that only other centres are in the way
	case a.joining <- struct{}{}:
		defer func() { <-a.joining }()
	case <-ctx.Done():
		return control.JoinAnswer{}, fmt.Errorf("join: too many agents join at once: try again: %w", ctx.Err())
	}
	for attempt := range joinAttempts {
		if err := pause(ctx, attempt); err != nil {
			return control.JoinAnswer{}, fmt.Errorf("join: too many agents join at once: try again: %w", err)
		}
		j, err := a.joinToken(ctx, parts[0], parts[1], r.Name)
		if err != nil {
			return control.JoinAnswer{}, err
		}
		was := j.Revision
		j.Left, j.Revision = j.Left-1, 0
		_, err = a.put(ctx, "joins/"+j.ID, j, was)
		if errors.Is(err, store.ErrConflict) {
			continue
		}
		if err != nil {
			return control.JoinAnswer{}, fmt.Errorf("join: %w", err)
		}
		return answer, nil
	}
	return control.JoinAnswer{}, fmt.Errorf("join: too many agents use this token at once: try again: %w", store.ErrConflict)
}

// joinAttempts is how often a use that another centre was in the way of is tried.
const joinAttempts = 20

// pause waits before a further attempt for a random time: up to 2 ms after the first and twice as long after each, 64 ms at most.
func pause(ctx context.Context, attempt int) error {
	if attempt == 0 {
		return nil
	}
	t := time.NewTimer(rand.N(time.Millisecond << min(attempt, 6)))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// joinToken reads a token that lets the agent in.
func (a *Auth) joinToken(ctx context.Context, id, secret, agent string) (Join, error) {
	j, err := get[Join](ctx, a.store, "joins/"+id, func(j *Join, rev int64) { j.Revision = rev })
	if errors.Is(err, store.ErrNotFound) {
		return j, fmt.Errorf("join: the token %s is %w: it was deleted, or is of another centre", id, ErrUnauthorized)
	}
	if err != nil {
		return j, fmt.Errorf("join: %w", err)
	}
	return j, j.admits(secret, agent, a.now())
}

// admits says why a token does not let an agent in.
func (j *Join) admits(secret, agent string, now time.Time) error {
	switch {
	case subtle.ConstantTimeCompare(j.Hash, hashOf(secret)) != 1:
		return fmt.Errorf("join: the token %s is %w: its secret is another one", j.ID, ErrUnauthorized)
	case !now.Before(j.Expires):
		return fmt.Errorf("join: the token %s is %w: it expired %s", j.ID, ErrUnauthorized, j.Expires.Format(time.RFC3339))
	case j.Left <= 0:
		return fmt.Errorf("join: the token %s is %w: it was used as often as it may be", j.ID, ErrUnauthorized)
	case !resources.GlobAny(j.Agent, agent):
		return fmt.Errorf("join: the token %s is %w: it is for agents named %s, and this is %s", j.ID, ErrUnauthorized, j.Agent, agent)
	}
	return nil
}

// Renew gives an agent that has a certificate its next one.
func (a *Auth) Renew(ctx context.Context, agent string, r control.JoinRequest) (control.JoinAnswer, error) {
	if agent == "" || r.Name != agent {
		return control.JoinAnswer{}, fmt.Errorf("renew: %w: the certificate is for %q, the request for %q", ErrUnauthorized, agent, r.Name)
	}
	return a.certify(ctx, r)
}

func (a *Auth) certify(ctx context.Context, r control.JoinRequest) (control.JoinAnswer, error) {
	if err := a.Admitted(ctx, r.Name); err != nil {
		return control.JoinAnswer{}, err
	}
	cert, expires, err := a.ca.sign(r.Name, r.CSR)
	if err != nil {
		return control.JoinAnswer{}, err
	}
	return control.JoinAnswer{Certificate: cert, CA: a.ca.PEM(), Expires: expires.UnixMilli(), Now: a.now().UnixMilli()}, nil
}

// blocked is an agent whose certificates are not accepted.
type blocked struct {
	Author string    `json:"author"`
	Why    string    `json:"why,omitempty"`
	Since  time.Time `json:"since"`
}

// Block shuts an agent out, whatever certificate it has; Unblock lets it in again.
func (a *Auth) Block(ctx context.Context, agent, author, why string) error {
	if err := checkName(agent); err != nil {
		return err
	}
	_, err := a.put(ctx, "blocked/"+agent, blocked{author, why, a.now().UTC()}, -1)
	return err
}

// Unblock is the reverse of Block.
func (a *Auth) Unblock(ctx context.Context, agent string) error {
	return a.delete(ctx, "blocked/"+agent)
}

// Admitted says why an agent is shut out; nil: it is not.
func (a *Auth) Admitted(ctx context.Context, agent string) error {
	b, err := get[blocked](ctx, a.store, "blocked/"+agent, func(*blocked, int64) {})
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return fmt.Errorf("agent %s is %w: %s shut it out %s: %s", agent, ErrUnauthorized, b.Author, b.Since.Format(time.RFC3339), b.Why)
}
