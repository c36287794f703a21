package guest

import "encoding/json"

// JSON answers with the value as JSON.
func JSON(status int, value any) (Response, error) {
	body, err := json.Marshal(value)
	if err != nil {
		return Response{}, err
	}
	return Response{Status: status, Header: map[string]string{"Content-Type": "application/json"},
		Body: append(body, '\n')}, nil
}

// HTML answers 200 with a page.
func HTML(page string) (Response, error) {
	return Response{Status: 200, Header: map[string]string{"Content-Type": "text/html; charset=utf-8"},
		Body: []byte(page)}, nil
}

// Problem answers with {"error": message}.
func Problem(status int, message string) (Response, error) {
	return JSON(status, map[string]string{"error": message})
}

// NotFound answers 404.
func NotFound(r Request) (Response, error) {
	return Problem(404, "there is nothing at "+r.Path)
}

// NotAllowed answers 405 and names the methods that are allowed, "GET, POST".
func NotAllowed(r Request, allowed string) (Response, error) {
	response, err := Problem(405, r.Method+" is not allowed here; allowed: "+allowed)
	if err == nil {
		response.Header["Allow"] = allowed
	}
	return response, err
}

// SeeOther answers 303: go and fetch that path.
func SeeOther(path string) (Response, error) {
	return Response{Status: 303, Header: map[string]string{"Location": path}}, nil
}
