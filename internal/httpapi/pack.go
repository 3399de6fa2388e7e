package httpapi

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strconv"
	"strings"
)

// packFrom is the size in bytes from which an answer is sent compressed: below it the network gains nothing that one feels.
const packFrom = 4 << 10

// packing marks the writer of a client that takes compressed answers.
type packing struct{ http.ResponseWriter }

// Unwrap is for http.ResponseController.
func (p packing) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// Packing returns a writer on which Reply compresses large answers, if r reads and its client takes gzip. Streams are sent as they
// are. So is an answer with an ETag, which is that of its plain form. What is compressed may not hold both a secret and what a
// stranger chose: from its length one could be guessed by the other (CVE-2013-3587).
func Packing(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
	if r.Method != http.MethodGet || !AcceptsGzip(r.Header.Get("Accept-Encoding")) {
		return w
	}
	return packing{w}
}

// pack returns the body to send, and says so in the header.
func pack(w http.ResponseWriter, body []byte) []byte {
	if _, ok := w.(packing); !ok || len(body) < packFrom || w.Header().Get("ETag") != "" {
		return body
	}
	var packed bytes.Buffer
	gz, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	if err != nil {
		return body // the level is a constant that is valid
	}
	gz.Write(body) // a buffer takes all
	gz.Close()
	w.Header().Set("Content-Encoding", "gzip")
	w.Header().Set("Vary", "Accept-Encoding")
	return packed.Bytes()
}

// AcceptsGzip reads Accept-Encoding (RFC 9110, 12.5.3) as far as it concerns gzip.
func AcceptsGzip(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		coding, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		if c := strings.TrimSpace(coding); c != "gzip" && c != "*" {
			continue
		}
		weight, found := strings.CutPrefix(strings.TrimSpace(params), "q=")
		if !found {
			return true
		}
		q, err := strconv.ParseFloat(strings.TrimSpace(weight), 64)
		return err == nil && q > 0
	}
	return false
}
