package api

import (
	"net/http"

	"github.com/sluice-mesh/sluice/governance/auth"
	"github.com/sluice-mesh/sluice/internal/httpapi"
)

// routes is the table of what there is, with the least right that each path needs.
func (s *Server) routes() {
	s.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("ok\n")) })
	s.mux.HandleFunc("GET /readyz", s.readyz)
	s.mux.Handle("POST /v1/login", s.open(s.login))
	s.mux.Handle("GET /v1/oidc", s.open(s.oidc))
	s.mux.Handle("GET /v1/oidc/start", s.open(s.oidcStart))
	s.mux.Handle("GET /v1/oidc/callback", s.open(s.oidcCallback))

	s.mount(s.table())
}

// table is the paths that need an identity.
func (s *Server) table() map[string]need {
	return map[string]need{
		"POST /v1/logout": {auth.View, s.logout},
		"GET /v1/me":      {auth.View, s.me},

		"GET /v1/overview": {auth.View, s.getOverview},
		"GET /v1/status":   {auth.View, s.getStatus},
		"GET /v1/topology": {auth.View, s.getTopology},
		"GET /v1/series":   {auth.View, s.getSeries},
		"GET /v1/events":   {auth.View, s.events},
		"GET /v1/observe":  {auth.Command, s.observe}, // texts of calls may hold what people typed

		"GET /v1/resources":                          {auth.View, s.getResources},
		"GET /v1/resources/{name}":                   {auth.View, s.getResource},
		"PUT /v1/resources/{name}":                   {auth.Edit, s.putResource},
		"PATCH /v1/resources/{name}":                 {auth.Publish, s.patchResource},
		"DELETE /v1/resources/{name}":                {auth.Publish, s.deleteResource},
		"GET /v1/resources/{name}/endpoints":         {auth.View, s.getEndpoints},
		"POST /v1/resources/{name}/endpoints":        {auth.Publish, s.postEndpoint},
		"DELETE /v1/resources/{name}/endpoints":      {auth.Publish, s.deleteEndpoint},
		"POST /v1/resources/{name}/release":          {auth.Publish, s.postRelease},
		"GET /v1/resources/{name}/operations":        {auth.View, s.getOperations},
		"GET /v1/resources/{name}/sessions":          {auth.View, s.getSessions},
		"GET /v1/resources/{name}/config":            {auth.View, s.getConfig},
		"GET /v1/resources/{name}/history":           {auth.View, s.getHistory},
		"GET /v1/resources/{name}/history/{version}": {auth.View, s.getVersion},
		"POST /v1/resources/{name}/revert":           {auth.Publish, s.postRevert},
		"GET /v1/resources/{name}/draft":             {auth.View, s.getDraft},
		"PUT /v1/resources/{name}/draft":             {auth.Edit, s.putDraft},
		"DELETE /v1/resources/{name}/draft":          {auth.Edit, s.deleteDraft},
		"POST /v1/resources/{name}/publish":          {auth.Publish, s.postPublish},

		"GET /v1/commands":         {auth.View, s.getCommands},
		"GET /v1/commands/history": {auth.View, s.getCommandHistory},
		"POST /v1/commands":        {auth.Command, s.postCommand},
		"DELETE /v1/commands/{id}": {auth.Command, s.deleteCommand},

		"GET /v1/plans":                  {auth.View, s.getPlans},
		"POST /v1/plans":                 {auth.Command, s.postPlan},
		"GET /v1/plans/{id}":             {auth.View, s.getPlan},
		"DELETE /v1/plans/{id}":          {auth.Command, s.deletePlan},
		"POST /v1/plans/{id}/run":        {auth.Command, s.postPlanRun},
		"POST /v1/plans/{id}/{order}":    {auth.Command, s.postPlanOrder},
		"GET /v1/releases":               {auth.View, s.getReleases},
		"GET /v1/releases/{id}":          {auth.View, s.getRelease},
		"POST /v1/releases/{id}/{order}": {auth.Publish, s.postReleaseOrder},

		"GET /v1/agents":                 {auth.View, s.getAgents},
		"GET /v1/agents/{name}":          {auth.View, s.getAgent},
		"GET /v1/agents/{name}/config":   {auth.View, s.getAgentConfig},
		"POST /v1/agents/{name}/block":   {auth.Authorize, s.blockAgent},
		"DELETE /v1/agents/{name}/block": {auth.Authorize, s.unblockAgent},

		"GET /v1/audit":             {auth.View, s.getAudit},
		"POST /v1/login-links":      {auth.Authorize, s.loginLink},
		"GET /v1/users":             {auth.Authorize, s.getUsers},
		"PUT /v1/users/{name}":      {auth.Authorize, s.putUser},
		"DELETE /v1/users/{name}":   {auth.Authorize, s.deleteUser},
		"GET /v1/tokens":            {auth.Authorize, s.getTokens},
		"POST /v1/tokens":           {auth.Authorize, s.postToken},
		"DELETE /v1/tokens/{id}":    {auth.Authorize, s.deleteToken},
		"GET /v1/joins":             {auth.Authorize, s.getJoins},
		"POST /v1/joins":            {auth.Authorize, s.postJoin},
		"DELETE /v1/joins/{id}":     {auth.Authorize, s.deleteJoin},
		"GET /v1/secrets":           {auth.Authorize, s.getSecrets},
		"PUT /v1/secrets/{name}":    {auth.Authorize, s.putSecret},
		"DELETE /v1/secrets/{name}": {auth.Authorize, s.deleteSecret},
	}
}

// Routes lists the paths that need an identity, as METHOD PATH, with the least right that each needs.
func Routes() map[string]auth.Right {
	out := make(map[string]auth.Right)
	for pattern, n := range (*Server)(nil).table() {
		out[pattern] = n.right
	}
	return out
}

// open serves a path to whoever asks.
func (s *Server) open(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		if err := h(w, r); err != nil {
			httpapi.Fail(w, r, s.Log, s.explain(err))
		}
	})
}

// readyz is what a balancer before several centres asks.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	if _, _, err := s.Audit.List(r.Context(), "ca/"); err != nil {
		httpapi.Fail(w, r, s.Log, httpapi.Unavailable("the store does not answer: %v", err))
		return
	}
	w.Write([]byte("ok\n"))
}
