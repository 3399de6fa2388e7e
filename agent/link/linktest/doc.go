// Package linktest is a small centre for tests of the agent's side of the link: it has an authority, gives certificates to
// agents that join, and hands each link to the test, which plays the centre on it. It is for tests only.
//
//	c, _ := linktest.New()
//	... an agent with agent.center: c.URL(), agent.join: c.Token()
//	conn, _ := c.Accept(5 * time.Second)      it was greeted: conn.Hello
//	conn.Send(control.TypeUpdate, &control.Update{...})
//	conn.Receive(control.TypeResult, &result, 5 * time.Second)
package linktest
