package httpapi

// Page is what lists are asked with.
type Page struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"20"`
	Cursor string `query:"cursor" maxLength:"4096" doc:"The next_cursor of the page before."`
}

// List is a page of a list.
type List[T any] struct {
	Items      []T    `json:"items"`
	NextCursor string `json:"next_cursor" doc:"Send it as cursor for the next page; empty at the end."`
}

// ListOutput is a list as a handler returns it.
type ListOutput[T any] struct{ Body List[T] }

// ListOf is the answer with what was found, each as show shows it; or err.
func ListOf[S, T any](found []S, next string, err error, show func(S) T) (*ListOutput[T], error) {
	if err != nil {
		return nil, err
	}
	list := List[T]{Items: []T{}, NextCursor: next}
	for _, value := range found {
		list.Items = append(list.Items, show(value))
	}
	return &ListOutput[T]{list}, nil
}
