"""What an operator looks at and tidies up: status, verify, gc, orphans."""
