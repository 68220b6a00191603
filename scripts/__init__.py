"""What a maintainer runs now and then: deploy the app, renew the pictures of the README."""
