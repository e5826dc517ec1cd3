"""Tests of the training code: `npm run test:python`."""
