// Package guest is what an application module of servicehost is written with: requests, responses, and the database.
//
// A module is one wasm file with these exports, called by the host; a module in any language may provide them:
//
//	memory             its linear memory
//	_initialize()      optional: called once in every new instance, before anything else
//	setup()            optional: called once in every new instance after that: CREATE TABLE IF NOT EXISTS; a trap in the
//	                   first instance ends the start
//	handle(n i32)      one request, n bytes of JSON ([Request]) that wait to be fetched with take
//
// and it may import these functions of the host from the module "servicehost" (all parameters and results i32):
//
//	take(ptr, len)            copies the waiting bytes (of a request, or of the last query) to ptr
//	respond(ptr, len)         the answer to the request, JSON ([Response]); the last one counts
//	query(ptr, len) -> len    runs a [Statement]; that many bytes of [Rows] wait to be taken
//
// What it prints is printed by the host, to stderr.
//
// Invariants a module can rely on: an instance serves one request at a time; all statements of one request run on one
// connection, so BEGIN and COMMIT work, and a transaction still open when the request ends is rolled back; a request
// that exceeds its time ends the instance. What it cannot rely on: memory kept between requests. There are several
// instances, and any of them is replaced at any time. State belongs in the database.
//
// A module in Go is built as a reactor:
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -o app.wasm ./app
package guest
