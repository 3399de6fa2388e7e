package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/sluice-mesh/sluice/internal/cli"
)

// host is what the process gives to a verb; tests put their own there.
type host struct {
	env     func(string) string
	stdout  io.Writer
	stderr  io.Writer
	signals func() <-chan os.Signal // begins to deliver SIGINT, SIGTERM and SIGHUP
	version string
}

// grammar is the command line. Every verb's Run gets the context and the host.
type grammar struct {
	Agent      agentCmd      `cmd:"" help:"Run the agent. SIGTERM drains, a second one stops now; SIGHUP reads the file again."`
	Center     centerCmd     `cmd:"" help:"Run the governance centre; or print links and tokens for it."`
	Check      checkCmd      `cmd:"" help:"Check config files: every error with file, line, column, and what would be right."`
	Import     importCmd     `cmd:"" help:"Turn configs of other programs into ours."`
	Get        getCmd        `cmd:"" help:"List resources, endpoints, operations, sessions, commands or agents."`
	Switch     switchCmd     `cmd:"" help:"Move traffic between the groups of a resource."`
	Degrade    degradeCmd    `cmd:"" help:"Answer calls instead of making them."`
	Limit      limitCmd      `cmd:"" help:"Limit the rate of calls."`
	Fault      faultCmd      `cmd:"" help:"Inject delay or errors into calls."`
	Mock       mockCmd       `cmd:"" help:"Answer calls with a given reply."`
	Drain      drainCmd      `cmd:"" help:"Take an endpoint out of use."`
	Apply      applyCmd      `cmd:"" help:"Publish a resource from a file."`
	Draft      draftCmd      `cmd:"" help:"Show or discard what sluice apply --draft kept (at a centre)."`
	History    historyCmd    `cmd:"" help:"List the versions of a resource, or show one (at a centre)."`
	Revert     revertCmd     `cmd:"" help:"Make an old version of a resource the newest one (at a centre)."`
	Endpoint   endpointCmd   `cmd:"" help:"Add and remove endpoints (at a centre)."`
	Release    releaseCmd    `cmd:"" help:"Watch, pause and take back versions on their way (at a centre)."`
	Plan       planCmd       `cmd:"" help:"Make, run and take back plans over several resources (at a centre)."`
	Undo       undoCmd       `cmd:"" help:"Take a command back."`
	Top        topCmd        `cmd:"" help:"Watch resources and endpoints live."`
	Observe    observeCmd    `cmd:"" help:"Watch the calls of a resource live."`
	Reference  referenceCmd  `cmd:"" help:"Print the reference of the config, with what this program has, as Markdown."`
	Version    versionCmd    `cmd:"" help:"Print the version."`
	Completion completionCmd `cmd:"" help:"Print the completion script of a shell."`
}

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// helpShown ends the parser after it printed the help.
type helpShown struct{}

// run parses args, runs the verb and returns the exit code.
func run(ctx context.Context, h *host, args []string) (code int) {
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(helpShown); !ok {
				panic(r)
			}
			code = exitDone
		}
	}()
	parser, err := newParser(h)
	if err != nil {
		return h.fail(err)
	}
	verb, err := parser.Parse(args)
	if err != nil {
		return h.usage(err)
	}
	return h.fail(verb.Run(h))
}

func newParser(h *host) (*kong.Kong, error) {
	return kong.New(&grammar{},
		kong.Name("sluice"),
		kong.Description("Carries every call of an application to services, caches, databases and queues, and governs them."),
		kong.UsageOnError(),
		kong.Writers(h.stdout, h.stderr),
		kong.Exit(func(int) { panic(helpShown{}) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true, WrapUpperBound: 100}),
		kong.Vars{"at": cli.DefaultAt, "center": centerAt},
		kong.Bind(h),
	)
}

// fail prints an error in one line and returns its exit code.
func (h *host) fail(err error) int {
	var wrong *cli.UsageError
	var shown *shownError
	switch {
	case err == nil, errors.Is(err, context.Canceled):
		return exitDone
	case errors.As(err, &wrong):
		return h.usage(err)
	case errors.As(err, &shown):
		return exitFailed
	case errors.Is(err, syscall.EPIPE): // `sluice observe x | head`
		return exitFailed
	}
	fmt.Fprintln(h.stderr, "sluice: "+oneLine(err))
	return exitFailed
}

func (h *host) usage(err error) int {
	fmt.Fprintf(h.stderr, "sluice: %s (sluice --help, or sluice VERB --help)\n", oneLine(err))
	return exitUsage
}

// oneLine keeps an error on one line and its control characters off the terminal.
func oneLine(err error) string {
	lines := strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' })
	return cli.Clean(strings.Join(lines, "; "))
}

// shownError is an error whose text has been printed already.
type shownError struct{ error }

// interrupted returns a context that ends with the first signal to stop, and a function that waits for what it started.
func (h *host) interrupted() (context.Context, func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done, signals := make(chan struct{}), h.signals()
	go func() {
		defer close(done)
		for {
			select {
			case s := <-signals:
				if s != syscall.SIGHUP {
					cancel()
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return ctx, func() { cancel(); <-done }
}
