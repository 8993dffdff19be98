"""Tests of `observatory.machinery`."""
