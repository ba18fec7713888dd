// Posts the form that carries an answer to an application. Without scripts its button does the same.
document.querySelector('form[data-submit]')?.submit();
