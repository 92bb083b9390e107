"""SQL, all of it. A store function is a plain synchronous `f(conn, …)`: one function, one transaction (see `door`)."""
