package admin

import (
	"log/slog"

	"github.com/sluice-mesh/sluice/internal/httpapi"
)

func lostRace(etag string) *httpapi.Error {
	return httpapi.Changed("the resource has changed meanwhile: its ETag is %s; read it again and repeat the change", etag)
}

// discard is the logger of a server that was given none.
func discard(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return log
}
