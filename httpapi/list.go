package httpapi

// Page is what lists are asked with.
type Page struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"20"`
	Cursor string `query:"cursor" maxLength:"4096" doc:"The next_cursor of the page before." ar:"قيمة next_cursor من الصفحة السابقة."`
}

// List is a page of a list.
type List[T any] struct {
	Items      []T    `json:"items"`
	NextCursor string `json:"next_cursor" doc:"Send it as cursor for the next page; empty at the end." ar:"أرسله في cursor لتنال الصفحة التالية؛ فارغ في النهاية."`
}

// Input is a body as a handler gets it, Output one as it returns it.
type (
	Input[T any]  struct{ Body T }
	Output[T any] struct{ Body T }
)

// Nothing is no input, or no output: the answer is 204 then.
type Nothing struct{}

// OutputOf is the answer with a body; or err.
func OutputOf[T any](body T, err error) (*Output[T], error) {
	if err != nil {
		return nil, err
	}
	return &Output[T]{body}, nil
}

// ListOutput is a list as a handler returns it.
type ListOutput[T any] = Output[List[T]]

// ListOf is the answer with what was found, each as show shows it; or err.
func ListOf[S, T any](found []S, next string, err error, show func(S) T) (*ListOutput[T], error) {
	list := List[T]{Items: []T{}, NextCursor: next}
	for _, value := range found {
		list.Items = append(list.Items, show(value))
	}
	return OutputOf(list, err)
}
